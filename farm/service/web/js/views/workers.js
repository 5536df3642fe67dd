/** The workers: what each is, and what it does. */

import { get } from "../api.js";
import { ago, bytes, many } from "../format.js";
import { fill, h } from "../h.js";
import { calmly, follow, still } from "../live.js";
import { alertOf } from "../parts.js";

export async function workersView(main) {
  const place = h("div");
  fill(main, h("h1", {}, "Workers"), place);
  const load = async () => {
    const { workers } = await get("/api/workers");
    await still();
    fill(place, workers.length ? [table(workers), note(workers)] : empty());
  };
  await load();
  const update = calmly(() => load().catch(alertOf), 800);
  return follow(null, { reload: update, on: update });
}

function empty() {
  return h(
    "div",
    { class: "empty" },
    h("h2", {}, "No worker yet"),
    h("p", {}, "Workers appear here as soon as they have started. With a cluster, check that Ray runs at the address that ", h("code", {}, "farm serve --address"), " was given."),
  );
}

const isFinishing = (worker) => worker.kind === "finish";

function note(workers) {
  return workers.some(isFinishing) && h("p", { class: "hint below" }, "A finishing worker joins frames to films and renders none, so it is idle while pictures are rendered.");
}

function table(workers) {
  return h(
    "div",
    { class: "scroll", tabindex: 0, role: "region", "aria-label": "Workers" },
    h(
      "table",
      {},
      h("thead", {}, h("tr", {}, ["Worker", "State", "Works on", "Device", "Node", "Memory"].map((word) => h("th", { scope: "col" }, word)))),
      h("tbody", {}, workers.map(line)),
    ),
  );
}

function line(worker) {
  return h(
    "tr",
    {},
    h("th", { scope: "row" }, worker.name, h("small", {}, isFinishing(worker) ? "finishing" : worker.kind)),
    h("td", {}, state(worker), h("small", {}, ago(worker.since))),
    h("td", {}, worker.unit ? work(worker.unit) : "–"),
    h("td", {}, worker.device, h("small", {}, many(worker.threads, "thread"))),
    h("td", {}, worker.node),
    h("td", {}, worker.memory ? bytes(worker.memory) : "–"),
  );
}

const state = (worker) => h("span", { class: "badge", "data-state": worker.state }, worker.state);

function work(unit) {
  return [
    h("a", { href: `#/jobs/${encodeURIComponent(unit.job)}` }, unit.name),
    h("progress", { max: 1, value: unit.done, "aria-label": `${unit.name}: ${Math.round(100 * unit.done)} %` }),
  ];
}

/** Return workers as a short list. */
export function workerRows(workers) {
  return h(
    "ul",
    { class: "workers" },
    workers.map((worker) => h("li", {}, h("span", { class: "name" }, worker.name, isFinishing(worker) && h("small", {}, "joins frames to films")), state(worker), worker.unit && h("span", { class: "work" }, work(worker.unit)))),
  );
}
