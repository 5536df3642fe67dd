/** The frames of a job as a grid of thumbnails, which appear as they finish. */

import { get, jobPath, picturePath, send } from "../api.js";
import { baseName, hasEnded, isDone, isStepOfFilm, isWorking, segmentOf, unitWord } from "../format.js";
import { fill, h, setVars } from "../h.js";
import { alertOf, doing } from "../parts.js";
import { lazy } from "../pictures.js";
import { openViewer } from "./viewer.js";

const PAGE = 200;
const STATES = [["", "all units"], ["running", "running"], ["ready", "waiting"], ["succeeded", "done"], ["quarantined", "failed"], ["retry_wait", "waiting for another try"]];

/** Show the units of a job. Returns what keeps them up to date. */
export async function framesTab(body, job) {
  const grid = h("div", { class: "grid", role: "group", "aria-label": "Units" });
  const view = { job, grid, tiles: new Map(), next: null, state: "", more: h("p", { class: "actions" }), turn: 0, after: -1, loading: -1 };
  grid.addEventListener("keydown", (event) => walk(grid, event));
  fill(body, tools(view), grid, view.more);
  const watch = new IntersectionObserver(([entry]) => entry.isIntersecting && view.next !== null && load(view, view.next).catch(alertOf), { rootMargin: "400px" });
  await load(view, -1);
  watch.observe(view.more);
  return {
    show: (current) => {
      const isPlanned = !view.job.frames && current.frames > 0;
      view.job = current;
      if (isPlanned) restart(view, -1);
    },
    reload: () => refresh(view).catch(alertOf),
    on: (kind, data) => (kind === "unit" ? change(view, data) : kind === "progress" && progress(view, data)),
    end: () => watch.disconnect(),
  };
}

function tools(view) {
  const from = (event) => restart(view, Math.max(0, event.target.value - 1) - 1);
  const filter = (event) => ((view.state = event.target.value), restart(view, -1));
  return h(
    "div",
    { class: "tools" },
    h("label", { class: "inline" }, "Show", h("select", { onchange: filter }, STATES.map(([value, word]) => h("option", { value }, word)))),
    h("label", { class: "inline" }, "From unit", h("input", { type: "number", min: 1, placeholder: "1", onchange: from })),
    h("span", { class: "hint" }, "Arrow keys walk, Enter opens"),
    redo(view),
  );
}

/** Return a field for frames to render once more. */
function redo(view) {
  const frames = h("input", { type: "text", size: 8, placeholder: "1-24", "aria-label": "Frames to render again" });
  const chosen = () => frames.value.trim().replace(/^\d+$/, "$&-$&"); // alone, a number would mean so many
  const ask = () => send("POST", jobPath(view.job.id, "/retry"), { frames: chosen(), redo: true });
  return h("form", { class: "inline redo", onsubmit: (event) => event.preventDefault() }, frames, doing("Render again", ask));
}

/** Show the units after a number instead. What was asked for before comes too late. */
function restart(view, after) {
  view.turn += 1;
  view.after = after;
  view.tiles.clear();
  fill(view.grid);
  load(view, after).catch(alertOf);
}

async function load(view, after) {
  const { turn } = view;
  if (view.loading === turn) return;
  view.loading = turn;
  view.next = null;
  try {
    const page = await get(jobPath(view.job.id, `/units?after=${after}&limit=${PAGE}${view.state && `&state=${view.state}`}`));
    if (turn !== view.turn) return;
    view.next = page.next;
    for (const unit of page.units) add(view, unit);
    const empty = view.job.frames ? "No unit is in this state." : "The job is being planned; its frames appear here.";
    fill(view.more, page.next !== null ? h("button", { type: "button", onclick: () => load(view, page.next).catch(alertOf) }, "More") : !view.tiles.size && h("span", { class: "quiet" }, empty));
  } finally {
    if (view.loading === turn) view.loading = -1;
  }
}

/** Load the units anew that are shown, such as after a break. */
async function refresh(view) {
  const { turn } = view;
  const last = Math.max(-1, ...[...view.tiles.values()].map((tile) => tile.unit.number));
  if (last < 0) return load(view, view.after);
  let after = Math.min(...[...view.tiles.values()].map((tile) => tile.unit.number)) - 1;
  while (after !== null && after < last) {
    const page = await get(jobPath(view.job.id, `/units?after=${after}&limit=1000${view.state && `&state=${view.state}`}`));
    if (turn !== view.turn) return;
    for (const unit of page.units) if (unit.number <= last) add(view, unit);
    after = page.next;
  }
}

function add(view, unit) {
  const tile = view.tiles.get(unit.name) ?? place(view, unit);
  const wasDone = isDone(tile.unit.state) && tile.isDrawn;
  tile.unit = unit;
  draw(view, tile, wasDone);
}

function place(view, unit) {
  const image = h("img", { alt: "" });
  const label = h("span", { class: "label" }, baseName(unit.name));
  const state = h("span", { class: "state" });
  const element = h("button", { type: "button", class: "tile", tabindex: view.tiles.size ? -1 : 0 }, image, state, label);
  const tile = { unit, element, image, state, isDrawn: false };
  element.addEventListener("click", () => openViewer(view, tile.unit.number));
  view.tiles.set(unit.name, tile);
  view.grid.append(element);
  return tile;
}

function draw(view, tile, wasDone) {
  const { unit, element, image, state } = tile;
  element.dataset.state = segmentOf(unit.state);
  element.title = [unit.name, unitWord(unit.state), unit.reason].filter(Boolean).join("\n");
  element.setAttribute("aria-label", `${unit.name}: ${unitWord(unit.state)}`);
  const isGone = isWorking(unit) && hasEnded(view.job.state);
  state.textContent = isDone(unit.state) ? (isGone ? "in the film" : "") : unitWord(unit.state);
  setVars(element, { "--share": unit.done });
  if (isDone(unit.state) && !wasDone && !isGone && !isStepOfFilm(unit)) {
    tile.isDrawn = true;
    lazy(image, picturePath(view.job.id, unit.number, "result", 200), () => (state.textContent = isWorking(unit) ? "in the film" : "no picture"));
  }
}

function change(view, { unit: name, state, attempt, worker, reason }) {
  const tile = view.tiles.get(name);
  if (!tile) return;
  const wasDone = isDone(tile.unit.state) && tile.isDrawn;
  tile.unit = { ...tile.unit, state, attempt, worker, reason, done: isDone(state) ? 1 : 0 };
  draw(view, tile, wasDone);
}

function progress(view, { unit: name, done }) {
  const tile = view.tiles.get(name);
  if (!tile) return;
  tile.unit.done = done;
  setVars(tile.element, { "--share": done });
}

/** Move the focus by the arrow keys. */
function walk(grid, event) {
  const tiles = [...grid.children];
  const at = tiles.indexOf(document.activeElement);
  const wide = getComputedStyle(grid).gridTemplateColumns.split(" ").length;
  const by = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -wide, ArrowDown: wide, Home: -at, End: tiles.length - 1 - at }[event.key];
  const next = by === undefined || at < 0 ? null : tiles[at + by];
  if (!next) return;
  event.preventDefault();
  tiles[at].tabIndex = -1;
  next.tabIndex = 0;
  next.focus();
}
