/** What happened to a job's units, oldest first. */

import { get, jobPath } from "../api.js";
import { clock, segmentOf, unitWord } from "../format.js";
import { fill, h } from "../h.js";
import { calmly } from "../live.js";
import { alertOf } from "../parts.js";

const PAGE = 500;

export async function logTab(body, job) {
  const list = h("ol", { class: "log" });
  const note = h("p", { class: "quiet" });
  const more = h("p", { class: "actions" });
  const view = { last: 0 };
  fill(body, note, list, more);
  const load = async () => {
    const page = await get(jobPath(job.id, `/log?after=${view.last}&limit=${PAGE}`));
    for (const line of page.lines) {
      list.append(entry(line));
      view.last = line.id;
    }
    note.textContent = list.childElementCount ? "" : "Nothing has happened yet.";
    fill(more, page.next !== null && h("button", { type: "button", onclick: () => load().catch(alertOf) }, "More"));
  };
  await load();
  const update = calmly(() => (more.firstChild ? null : load().catch(alertOf)), 700);
  return { reload: update, on: (kind) => kind === "unit" && update() };
}

function entry(line) {
  const why = [line.attempt > 1 && `attempt ${line.attempt}`, line.worker && `on ${line.worker}`, line.reason, line.by && line.by !== "policy" && `by ${line.by}`].filter(Boolean);
  return h("li", { "data-state": segmentOf(line.state) }, h("time", {}, clock(line.at)), h("span", { class: "unit" }, line.unit), h("strong", {}, unitWord(line.state)), h("span", { class: "quiet" }, why.join(" · ")));
}
