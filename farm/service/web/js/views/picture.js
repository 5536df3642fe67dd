/** The only picture of a job, large: its source and its result, and why it failed. */

import { get, jobPath } from "../api.js";
import { fill, h } from "../h.js";
import { calmly } from "../live.js";
import { alertOf } from "../parts.js";
import { unitContent } from "./viewer.js";

export async function pictureTab(body, job) {
  const bar = h("progress", { max: 1, "aria-label": "Picture" });
  const content = h("div", { class: "viewer single" });
  fill(body, bar, content);
  let shown = "";
  const load = async () => {
    const unit = await get(jobPath(job.id, "/units/0"));
    bar.hidden = unit.state !== "running";
    bar.value = unit.done;
    const version = JSON.stringify([unit.story, unit.failures]);
    if (version !== shown) fill(content, unitContent(job, unit, load));
    shown = version;
  };
  await load();
  const update = calmly(() => load().catch(alertOf), 500);
  return { reload: update, on: (kind, data) => (kind === "progress" ? (bar.value = data.done) : update()) };
}
