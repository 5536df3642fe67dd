/** The farm: its state in a word, its jobs, and how much it does. */

import { get } from "../api.js";
import { throughput } from "../chart.js";
import { count, jobWord, many, noun, seen, title } from "../format.js";
import { fill, h } from "../h.js";
import { calmly, follow, still } from "../live.js";
import { alertOf, announce, badge, bar, origin, progressText } from "../parts.js";
import { workerRows } from "./workers.js";

const PAGE = 50;

export async function farmView(main, query) {
  const state = query.get("state") ?? "";
  const places = { word: h("div"), states: h("div"), jobs: h("ul", { class: "jobs" }), more: h("p"), side: h("aside"), note: h("div") };
  const shown = { pages: 1, states: new Map() };
  fill(
    main,
    places.word,
    h(
      "div",
      { class: "columns" },
      h("section", { "aria-labelledby": "jobs" }, h("div", { class: "titled" }, h("h2", { id: "jobs" }, "Jobs"), places.states), places.note, places.jobs, places.more),
      places.side,
    ),
  );
  const update = calmly(() => load(places, shown, state, update), 800);
  await load(places, shown, state, update);
  return follow(null, { reload: update, on: update, lost: () => fill(places.word, unreachable()) });
}

function filter(states, state) {
  const onchange = (event) => (location.hash = event.target.value ? `#/?state=${event.target.value}` : "#/");
  return h(
    "label",
    {},
    h("span", { class: "unseen" }, "Show"),
    h("select", { onchange }, ["", ...states].map((value) => h("option", { value, selected: value === state }, value ? jobWord(value) : "all jobs"))),
  );
}

async function load(places, shown, state, update) {
  try {
    const [farm, jobs, { workers }] = await Promise.all([get("/api/farm"), pages(shown.pages, state), get("/api/workers")]);
    await still();
    fill(places.word, headline(farm));
    if (!places.states.firstChild) fill(places.states, filter(Object.keys(farm.jobs), state));
    fill(places.side, side(farm, workers));
    list(places, jobs.found, state);
    const more = () => ((shown.pages += 1), update());
    fill(places.more, jobs.next && h("button", { type: "button", onclick: more }, "Older jobs"));
    tell(jobs.found, shown.states);
  } catch (error) {
    if (!places.word.firstChild) throw error;
    if (error.status === 0) fill(places.word, unreachable());
    else alertOf(error);
  }
}

async function pages(number, state) {
  const found = [];
  let next = "";
  do {
    const page = await get(`/api/jobs?limit=${PAGE}&after=${encodeURIComponent(next)}${state && `&state=${state}`}`);
    found.push(...page.jobs);
    next = page.next;
  } while (next && found.length < number * PAGE);
  return { found, next };
}

function headline(farm) {
  const busy = farm.workers.busy ?? 0;
  const all = busy + (farm.workers.idle ?? 0);
  const waiting = (farm.units.ready ?? 0) + (farm.units.blocked ?? 0) + (farm.units.retry_wait ?? 0);
  const figures = [
    ["running", count(farm.jobs.running ?? 0), "jobs"],
    ["queued", count(farm.jobs.queued ?? 0), "jobs"],
    ["to do", count(waiting), "units"],
    ["busy", `${count(busy)} of ${count(all)}`, "workers"],
  ];
  return h(
    "section",
    { class: "headline", "data-state": farm.state },
    h("div", {}, h("h1", {}, h("span", { class: "dot" }), `The farm is ${farm.state}`), h("p", {}, farm.reason)),
    h("dl", {}, figures.map(([word, value, noun]) => h("div", {}, h("dt", {}, `${noun} ${word}`), h("dd", {}, value)))),
  );
}

/** Return what is shown in the place of the farm's state while nobody knows it. */
function unreachable() {
  return h(
    "section",
    { class: "headline", "data-state": "lost" },
    h("div", {}, h("h1", {}, h("span", { class: "dot" }), "No connection to the farm"), h("p", {}, "What is below may be old. Is farm serve still running? The page goes on trying.")),
  );
}

function side(farm, workers) {
  return [
    h("section", {}, h("h2", {}, "The last hour"), farm.throughput.length ? throughput(farm.throughput) : h("p", { class: "quiet" }, "Nothing was rendered in the last hour, or since the farm started.")),
    h("section", {}, h("h2", {}, h("a", { href: "#/workers" }, "Workers")), workers.length ? workerRows(workers.slice(0, 12)) : h("p", { class: "quiet" }, "There is no worker yet.")),
  ];
}

function list(places, jobs, state) {
  const focused = document.activeElement?.dataset?.job;
  fill(places.jobs, jobs.map((job) => h("li", {}, row(job))));
  if (focused) places.jobs.querySelector(`[data-job="${CSS.escape(focused)}"]`)?.focus();
  fill(places.note, !jobs.length && (state ? h("p", { class: "quiet" }, "No job is in this state.") : welcome()));
}

function row(job) {
  return h(
    "a",
    { class: "job", href: `#/jobs/${encodeURIComponent(job.id)}`, "data-job": job.id },
    h("span", { class: "name" }, title(job)),
    badge(job),
    bar(job),
    h("span", { class: "far" }, progressText(job)),
    h("span", { class: "origin" }, origin(job)),
    job.reason && h("span", { class: "reason" }, job.reason),
  );
}

function welcome() {
  return h(
    "div",
    { class: "empty" },
    h("h3", {}, "No jobs yet"),
    h("p", {}, "Drop a photograph, look at a small preview, and let the farm dream it."),
    h("p", {}, h("a", { class: "button primary", href: "#/new?task=dream" }, "Dream a picture"), " ", h("a", { class: "button", href: "#/new?task=style&fast=eddies" }, "Paint it in a style")),
  );
}

/** Say which jobs have changed their state since the last look. */
function tell(jobs, states) {
  for (const job of jobs) {
    const before = states.get(job.id);
    if (before && before !== job.state) announce(`${title(job)}: ${jobWord(job.state)}, ${many(seen(job).done, noun(job))} done`);
    states.set(job.id, job.state);
  }
}
