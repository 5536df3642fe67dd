/** Small pieces that several views show. */

import { download, hasToken } from "./api.js";
import { SEGMENTS, ago, count, duration, many, noun, seen, stateWord } from "./format.js";
import { fill, h } from "./h.js";

/** Say something to those who do not see the screen. */
export function announce(text) {
  document.getElementById("news").textContent = text;
}

/** Show an error at the foot of the page, until the next one or a click. */
export function alertOf(error) {
  const place = document.getElementById("alerts");
  const close = h("button", { class: "plain", "aria-label": "Close", onclick: () => fill(place) }, "×");
  fill(place, h("p", {}, error.message ?? String(error), close));
}

/** Return a button that does something, and shows why it could not. */
export function doing(label, act, props = {}) {
  const button = h("button", { type: "button", ...props }, label);
  button.addEventListener("click", async () => {
    button.disabled = true;
    try {
      fill(document.getElementById("alerts"));
      await act();
    } catch (error) {
      alertOf(error);
    }
    button.disabled = false;
  });
  return button;
}

/** Return a link that saves a file of the farm on this computer. */
export function fileLink(path, name) {
  const onclick = (event) => {
    if (!hasToken()) return;
    event.preventDefault();
    download(path, name).catch(alertOf);
  };
  return h("a", { class: "button", href: path, download: name, onclick }, `Download ${name}`);
}

/** Return what is shown in the place of a view that could not be loaded. */
export function problem(error, again) {
  return h(
    "section",
    { class: "empty" },
    h("h1", {}, "That did not work"),
    h("p", { class: "error" }, error.message),
    h("p", {}, h("button", { type: "button", onclick: again }, "Try again"), " ", h("a", { href: "#/" }, "All jobs")),
  );
}

export const badge = (job) => h("span", { class: "badge", "data-state": job.state }, stateWord(job));

/** Return a bar with a segment for each state of a job's frames. */
export function bar(job) {
  const parts = segments(seen(job).counts);
  const total = seen(job).frames || 1;
  const text = parts.map(([, word, n]) => `${count(n)} ${word}`).join(", ") || "no units yet";
  return h(
    "div",
    { class: "stack", role: "img", "aria-label": text, title: text },
    parts.map(([name, , n]) => h("i", { class: name, vars: { "flex-grow": n / total } })),
  );
}

/** Return what the segments of a job's bar mean. */
export function legend(job) {
  return h(
    "ul",
    { class: "legend" },
    segments(seen(job).counts).map(([name, word, n]) => h("li", {}, h("i", { class: name }), `${count(n)} ${word}`)),
  );
}

function segments(counts) {
  return SEGMENTS.map(([name, word, states]) => [name, word, states.reduce((sum, state) => sum + (counts[state] ?? 0), 0)]).filter(([, , n]) => n);
}

/** Return in words how far a job is. */
export function progressText(job) {
  if (!job.frames) return "";
  const { done, frames, failed } = seen(job);
  const parts = [`${count(done)} of ${many(frames, noun(job))}`];
  if (failed || job.failed) parts.push(`${count(failed || job.failed)} failed`);
  if (job.eta != null) parts.push(`${duration(job.eta)} left`);
  return parts.join(" · ");
}

/** Return when a job was submitted, by whom, and what it does. */
export function origin(job) {
  return [job.task, job.owner && `by ${job.owner}`, `submitted ${ago(job.created)}`].filter(Boolean).join(" · ");
}

/** Ask whether something is really meant. Returns a promise of true or false. */
export function confirmed(question, detail, yes) {
  return new Promise((resolve) => {
    const dialog = h(
      "dialog",
      { class: "small", onclose: () => { dialog.remove(); resolve(dialog.returnValue === "yes"); } },
      h(
        "form",
        { method: "dialog" },
        h("h2", {}, question),
        h("p", {}, detail),
        h("p", { class: "actions" }, h("button", { value: "no" }, "Keep it"), h("button", { value: "yes", class: "danger" }, yes)),
      ),
    );
    document.body.append(dialog);
    dialog.showModal();
  });
}
