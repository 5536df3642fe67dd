/** Turns numbers, times and states into words. */

const UNITS = {
  blocked: "waiting for another",
  ready: "waiting",
  leased: "starting",
  running: "running",
  retry_wait: "waiting for another try",
  succeeded: "done",
  skipped: "done before",
  quarantined: "failed",
  cancelled: "cancelled",
};

/** What the segments of a bar count, in their order: a class, a word and the states of units. */
export const SEGMENTS = [
  ["done", "done", ["succeeded", "skipped"]],
  ["active", "running", ["leased", "running"]],
  ["again", "waiting for another try", ["retry_wait"]],
  ["failed", "failed", ["quarantined"]],
  ["gone", "cancelled", ["cancelled"]],
  ["waiting", "waiting", ["blocked", "ready"]],
];

export const jobWord = (state) => state.replaceAll("_", " ");

/** Return the state of a job in words. One that waits for another job says so. */
export const stateWord = (job) => (job.state === "planning" && job.reason.startsWith("waits for") ? "waiting for a job" : jobWord(job.state));
export const unitWord = (state) => UNITS[state] ?? state.replaceAll("_", " ");
export const segmentOf = (state) => SEGMENTS.find(([, , states]) => states.includes(state))?.[0] ?? "waiting";
export const hasEnded = (state) => state.startsWith("completed") || ["failed", "cancelled"].includes(state);
export const isDone = (state) => state === "succeeded" || state === "skipped";


/** Whether a unit joins frames to a film, and whether it writes to a hidden folder that goes when the film is there. */
export const isStepOfFilm = (unit) => /\/(part\d{4}|film)$/.test(unit.name);
export const isWorking = (unit) => unit.target.includes("/.");

/** Whether a path names a film that browsers may play. */
export const isFilm = (path) => /\.(mp4|webm|mov|mkv|m4v)$/i.test(path);

export const count = (n) => n.toLocaleString("en", { maximumSignificantDigits: 9 });

/** Return a number with its noun: 1 frame, 2 frames. */
export const many = (n, noun) => `${count(n)} ${noun}${n === 1 ? "" : "s"}`;

export function duration(seconds) {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172800) return `${(seconds / 3600).toFixed(1)} h`;
  return `${Math.round(seconds / 86400)} days`;
}

const passed = (at) => duration(Math.max(0, Date.now() / 1000 - at));
export const ago = (at) => `${passed(at)} ago`;

/** Return since when a job is in its state. */
export const since = (job) => (hasEnded(job.state) ? `ended ${ago(job.since)}` : `${stateWord(job)} for ${passed(job.since)}`);
export const clock = (at) => new Date(at * 1000).toLocaleTimeString("en-GB");
export const moment = (at) => new Date(at * 1000).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" });

export function bytes(n) {
  for (const unit of ["B", "kB", "MB", "GB"]) {
    if (n < 1000) return `${n < 10 && unit !== "B" ? n.toFixed(1) : Math.round(n)} ${unit}`;
    n /= 1000;
  }
  return `${n.toFixed(1)} TB`;
}

export function pixels(n) {
  return n < 1e5 ? `${count(n)} pixels` : `${count(Number((n / 1e6).toPrecision(3)))} megapixels`;
}

/** Whether a job makes one picture, as far as is known. */
export const isSingle = (job) => job.frames === 1 && !isFilm(job.spec.output);

/** What to count of a job: the frames that a person sees, or else its units. */
export const seen = (job) => job.seen ?? job;
export const noun = (job) => (job.seen ? "frame" : "unit");

/** Return what people call a job: its name, or what it reads and writes. */
export function title({ spec }) {
  if (spec.name) return spec.name;
  const [first, ...others] = spec.inputs;
  return `${fileName(first)}${others.length ? ` and ${count(others.length)} more` : ""} → ${fileName(spec.output)}`;
}

const fileName = (path) => baseName(path) + (path.endsWith("/") ? "/" : "");

/** Return the last part of a path. */
export const baseName = (path) => path.replace(/\/+$/, "").split("/").pop();
