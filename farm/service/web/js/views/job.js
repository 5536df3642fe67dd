/** A job: its state and why, what can be done about it, and a tab for its frames, as pictures or played, its log, settings or run. */

import { download, get, jobPath, send } from "../api.js";
import { hasEnded, isFilm, isSingle, jobWord, moment, since, title } from "../format.js";
import { fill, h } from "../h.js";
import { calmly, follow, still } from "../live.js";
import { alertOf, announce, badge, bar, confirmed, doing, legend, origin, progressText } from "../parts.js";
import { filmTab } from "./film.js";
import { framesTab } from "./frames.js";
import { logTab } from "./log.js";
import { pictureTab } from "./picture.js";
import { runTab } from "./run.js";
import { settingsTab } from "./settings.js";

const TABS = { frames: ["Frames", framesTab], film: ["Play", filmTab], run: ["Run", runTab], log: ["Log", logTab], settings: ["Settings", settingsTab] };

export async function jobView(main, id, name) {
  const [job, { tasks }] = await Promise.all([get(jobPath(id)), get("/api/tasks")]);
  const isRun = tasks.find((task) => task.name === job.task)?.kind === "run";
  let shown = job;
  const tab = name || (isRun ? "run" : hasEnded(job.state) && isFilm(job.spec.output) ? "film" : "frames");
  const [head, body, places] = [h("section", { class: "job-head" }), h("section", { class: "tab" }), h("div")];
  fill(main, head, places, body);
  renderHead(head, shown, isRun);
  fill(places, tabs(job, tab, isRun));
  let open = await opened(tab, body, job);

  const show = async (current) => {
    if (current.state !== shown.state) announce(`${title(current)}: ${jobWord(current.state)}`);
    const isPlanned = !shown.frames && isSingle(current);
    shown = current;
    still().then(() => renderHead(head, shown, isRun));
    if (isPlanned) {
      open.end?.();
      fill(places, tabs(current, tab, isRun));
      open = await opened(tab, body, current);
    }
    open.show?.(current);
  };
  head.addEventListener("changed", (event) => show(event.detail).catch(alertOf));
  const update = calmly(() => get(jobPath(id)).then(show).catch(alertOf), 700);
  const end = follow(id, {
    reload: () => (update(), open.reload?.()),
    on: (kind, data) => {
      if (kind === "job") show(data).catch(alertOf);
      open.on?.(kind, data);
      update();
    },
  });
  return () => (end(), open.end?.());
}

/** Open a tab. A job of one picture shows it large in the place of a grid. */
const opened = (tab, body, job) => (tab === "frames" && isSingle(job) ? pictureTab : TABS[tab][1])(body, job);

function tabs(job, current, isRun) {
  const hidden = isRun ? ["film", "frames"] : isSingle(job) ? ["film", "run"] : ["run"];
  const names = Object.keys(TABS).filter((name) => !hidden.includes(name));
  const word = (name) => (name === "frames" && isSingle(job) ? "Picture" : TABS[name][0]);
  return h(
    "nav",
    { class: "tabs", "aria-label": "Parts of the job" },
    names.map((name) => h("a", { href: `#/jobs/${encodeURIComponent(job.id)}/${name}`, "aria-current": name === current ? "page" : null }, word(name))),
  );
}

/** Show the head anew, without taking the focus from a button that stays. */
function renderHead(head, job, isRun) {
  const focused = head.contains(document.activeElement) ? document.activeElement.dataset.act : null;
  if (focused === "priority") return;
  fill(
    head,
    h("div", { class: "titled" }, h("h1", {}, title(job)), badge(job), job.wanted !== "run" && !hasEnded(job.state) && h("span", { class: "hint" }, `wanted: ${job.wanted}`)),
    h("p", { class: "origin" }, origin(job), " · ", h("span", { title: moment(job.since) }, since(job)), job.spec.name !== job.id && ` · ${job.id}`),
    job.reason && h("p", { class: job.state === "failed" ? "error" : "why" }, job.reason),
    job.notes.length > 0 && h("ul", { class: "notes hint", "aria-label": "Notes" }, job.notes.map((note) => h("li", {}, note))),
    bar(job),
    h("div", { class: "titled" }, legend(job), h("span", { class: "far" }, progressText(job))),
    h("div", { class: "actions" }, controls(job, head, isRun)),
  );
  if (focused) head.querySelector(`[data-act="${focused}"]`)?.focus();
}

function controls(job, head, isRun) {
  const ended = hasEnded(job.state);
  const change = async (body) => head.dispatchEvent(new CustomEvent("changed", { detail: await send("PATCH", jobPath(job.id), body) }));
  const act = (name, label, run, props = {}) => doing(label, run, { "data-act": name, ...props });
  const retry = async () => head.dispatchEvent(new CustomEvent("changed", { detail: await send("POST", jobPath(job.id, "/retry"), {}) }));
  const canContinue = job.state === "cancelled" && job.counts.cancelled > 0;
  return [
    !ended && job.wanted === "run" && act("pause", "Pause", () => change({ wanted: "pause" })),
    !ended && job.wanted === "pause" && act("resume", "Resume", () => change({ wanted: "run" }), { class: "primary" }),
    !ended && job.wanted !== "cancel" && act("cancel", "Cancel", () => cancel(job, change), { class: "danger" }),
    canContinue ? act("retry", "Continue", retry, { class: "primary" }) : job.failed > 0 && act("retry", "Retry what failed", retry),
    job.done > 0 && (isRun || !isSingle(job)) && act("download", "Download zip", () => download(jobPath(job.id, "/results.zip"), `${job.id}.zip`)),
    !job.preview && h("a", { class: "button", "data-act": "again", href: `#/new?again=${encodeURIComponent(job.id)}` }, "Run again…"),
    !ended && priority(job, change),
    ended && act("forget", "Forget", () => forget(job)),
  ];
}

async function cancel(job, change) {
  if (await confirmed(`Cancel ${title(job)}?`, "What is finished stays. What is being rendered is lost.", "Cancel the job")) await change({ wanted: "cancel" });
}

async function forget(job) {
  if (!(await confirmed(`Forget ${title(job)}?`, "Its log and settings go. Its files stay where they are.", "Forget the job"))) return;
  await send("DELETE", jobPath(job.id));
  location.hash = "#/";
}

function priority(job, change) {
  const onchange = (event) => {
    const wanted = Number(event.target.value);
    event.target.blur();
    change({ priority: wanted }).catch(alertOf);
  };
  return h("label", { class: "inline", title: "0 to 100; jobs with more come first" }, "Priority", h("input", { type: "number", min: 0, max: 100, value: job.priority, "data-act": "priority", onchange }));
}
