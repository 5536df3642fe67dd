/** A training run: its curves, and the pictures of its checkpoints. */

import { get, jobPath } from "../api.js";
import { curves } from "../chart.js";
import { count } from "../format.js";
import { fill, h } from "../h.js";
import { calmly } from "../live.js";
import { alertOf } from "../parts.js";
import { lazy } from "../pictures.js";

const SHOWN = 12;

export async function runTab(body, job) {
  const figures = new Map();
  const load = async () => fill(body, content(await get(jobPath(job.id, "/run")), (picture) => kept(figures, job, picture)));
  await load();
  const update = calmly(() => load().catch(alertOf), 4000);
  return { reload: update, on: update };
}

function content(run, figure) {
  if (!run.steps.length) return h("p", { class: "quiet" }, "The run has not taken a step yet. Its curves and pictures appear here.");
  return [
    h("p", { class: "origin" }, `Step ${count(run.steps.at(-1))}`),
    h("div", { class: "charts" }, grouped(run.series).map(([title, series]) => curves(title, run.steps, series))),
    run.pictures.length > 0 && h("section", {}, h("h2", {}, "Pictures of checkpoints, newest first"), h("div", { class: "pictures" }, run.pictures.slice(-SHOWN).reverse().map(figure))),
  ];
}

/** Return series as charts: losses share one, everything else has its own. */
function grouped(series) {
  const names = Object.keys(series);
  const losses = names.filter((name) => name.includes("loss"));
  const others = names.filter((name) => !losses.includes(name));
  const pick = (chosen) => Object.fromEntries(chosen.map((name) => [name, series[name]]));
  return [...(losses.length ? [["losses", pick(losses)]] : []), ...others.map((name) => [name.replaceAll("_", " "), pick([name])])];
}

/** Return the figure of a picture, the same one every time, so that it stays loaded. */
function kept(figures, job, { step, path }) {
  if (figures.has(path)) return figures.get(path);
  const image = h("img", { alt: `Pictures at step ${step}` });
  lazy(image, jobPath(job.id, `/run/picture?path=${encodeURIComponent(path)}`));
  figures.set(path, h("figure", {}, image, h("figcaption", {}, `step ${count(step)}`)));
  return figures.get(path);
}
