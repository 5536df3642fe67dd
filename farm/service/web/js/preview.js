/** A small preview of an effect on one picture, and what the whole job would cost. */

import { get, jobPath, picturePath, send } from "./api.js";
import { comparison } from "./compare.js";
import { bytes, duration, hasEnded, isWorking, many, pixels } from "./format.js";
import { fill, h } from "./h.js";
import { announce } from "./parts.js";

const LOOK_MILLISECONDS = 500;

/** Render the first input of a request small, and show it before and after. Raises Refused. */
export async function showPreview(place, request) {
  const note = h("p", { class: "quiet" }, "Rendering a small version…");
  const bar = h("progress", { max: 1, "aria-label": "Preview" });
  fill(place, note, bar);
  try {
    await rendered(place, note, bar, await send("POST", "/api/preview", request));
  } catch (error) {
    fill(place, h("p", { class: "quiet" }, "There is no preview."));
    throw error;
  }
}

async function rendered(place, note, bar, job) {
  while (!hasEnded(job.state) && place.isConnected) {
    await new Promise((resolve) => setTimeout(resolve, LOOK_MILLISECONDS));
    job = await get(jobPath(job.id));
    note.textContent = job.state === "queued" ? "Waiting for a worker…" : "Rendering a small version…";
    if (job.progress) bar.value = job.progress;
  }
  if (!place.isConnected) return;
  if (job.done) {
    const { units } = await get(jobPath(job.id, "/units"));
    const { number } = units.findLast((unit) => !isWorking(unit));
    fill(place, comparison(picturePath(job.id, 0, "source", 600), picturePath(job.id, number, "result", 600)));
    announce("The preview is ready");
    return;
  }
  const unit = await get(jobPath(job.id, "/units/0"));
  const why = unit.failures.at(-1)?.message || unit.reason || job.reason;
  fill(place, h("p", { class: "error", role: "alert" }, `The preview failed: ${why}`));
}

/** Show what a job would cost. */
export function showEstimate(place, found) {
  const figures = [
    many(found.units, "unit"),
    found.pixels && pixels(found.pixels),
    found.bytes && `about ${bytes(found.bytes)} of files`,
  ].filter(Boolean);
  const time = found.seconds == null ? "" : `${found.seconds < 1 ? "Under a second" : `About ${duration(found.seconds)}`}, judged by ${many(found.based_on, "unit")} of this farm.`;
  fill(place, h("p", {}, h("strong", {}, figures.join(" · "))), h("p", { class: "hint" }, time), found.notes.map((note) => h("p", { class: "hint" }, note)));
}
