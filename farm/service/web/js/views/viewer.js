/** One unit, large: before and after, why it failed, and what happened to it. */

import { get, jobPath, picturePath, resultPath, send } from "../api.js";
import { comparison } from "../compare.js";
import { baseName, clock, duration, isDone, isWorking, unitWord } from "../format.js";
import { fill, h } from "../h.js";
import { doing, fileLink } from "../parts.js";

/** Open the viewer at a unit. view: with the job and its number of units. */
export function openViewer(view, number) {
  const body = h("div", { class: "viewer" });
  const step = (by) => {
    const next = number + by;
    if (next >= 0 && next < view.job.frames) show((number = next));
  };
  const dialog = h(
    "dialog",
    { class: "large", "aria-label": "Unit", onclose: () => dialog.remove(), onkeydown: (event) => onKey(event, step) },
    h("div", { class: "titled viewer-bar" }, doing("← Previous", () => step(-1)), doing("Next →", () => step(1)), h("form", { method: "dialog" }, h("button", { "aria-label": "Close" }, "Close"))),
    body,
  );
  const show = async (wanted) => {
    try {
      const unit = await get(jobPath(view.job.id, `/units/${wanted}`));
      if (wanted === number) fill(body, h("h2", {}, unit.name), unitContent(view.job, unit, () => show(wanted)));
    } catch (error) {
      fill(body, h("p", { class: "error" }, error.message));
    }
  };
  document.body.append(dialog);
  dialog.showModal();
  return show(number);
}

function onKey(event, step) {
  if (event.target.matches("input")) return;
  if (event.key === "ArrowLeft") step(-1);
  if (event.key === "ArrowRight") step(1);
}

/** Return all that is known of a unit. again: called when it has been told to render once more. */
export function unitContent(job, unit, again) {
  return [
    h("p", { class: "origin" }, facts(unit)),
    unit.failures.length > 0 && h("div", { class: "error" }, unit.failures.map((failure) => h("p", {}, failureText(unit, failure)))),
    unit.reason && !unit.failures.some((failure) => failure.message === unit.reason) && h("p", { class: "why" }, unit.reason),
    comparison(unit.source && picturePath(job.id, unit.number, "source", 1200), isDone(unit.state) && picturePath(job.id, unit.number, "result", 1200)),
    h("p", { class: "actions" }, isDone(unit.state) && !isWorking(unit) && fileLink(resultPath(job.id, unit.target, unit.number), baseName(unit.target)), retry(job, unit, again)),
    h("details", { open: !isDone(unit.state) }, h("summary", {}, "What happened"), story(unit.story)),
    h("dl", { class: "facts" }, fact("From", unit.source), fact("To", unit.target)),
  ];
}

function failureText(unit, { attempt, reason, message }) {
  const when = unit.failures.length > 1 ? ` at attempt ${attempt}` : "";
  return [h("strong", {}, `Could not be rendered${when}: `), message || reason.replaceAll("_", " ")];
}

function facts(unit) {
  const spent = Object.entries(unit.seconds).map(([stage, seconds]) => `${stage} ${seconds < 10 ? `${seconds.toFixed(2)} s` : duration(seconds)}`);
  return [unitWord(unit.state), unit.attempt > 1 && `attempt ${unit.attempt}`, unit.worker && `on ${unit.worker}`, ...spent].filter(Boolean).join(" · ");
}

const fact = (word, text) => text && h("div", {}, h("dt", {}, word), h("dd", {}, text));

function retry(job, unit, again) {
  const ask = (body) => async () => {
    await send("POST", jobPath(job.id, "/retry"), { units: [unit.name], ...body });
    await again();
  };
  if (unit.state === "quarantined") return doing("Try it again", ask({}), { class: "primary" });
  return isDone(unit.state) && doing("Render it again", ask({ redo: true }));
}

function story(lines) {
  return h(
    "ol",
    { class: "story" },
    lines.map((line) => h("li", {}, h("time", {}, clock(line.at)), " ", h("strong", {}, unitWord(line.state)), line.worker && ` on ${line.worker}`, line.reason && `: ${line.reason}`)),
  );
}
