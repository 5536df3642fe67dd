/** The form for a new job, made from the schema of its task, with a preview and what it would cost. */

import { get, jobPath, send } from "../api.js";
import { baseName, isFilm } from "../format.js";
import { clearFaults, field, schemaField, select, showFault } from "../fields.js";
import { fill, h } from "../h.js";
import { inputsField } from "../inputs.js";
import { alertOf, doing } from "../parts.js";
import { showEstimate, showPreview } from "../preview.js";

const LOSSY = /\.(jpe?g|webp)$/i;
const ENDLESS = 240; // frames that are suggested: ten seconds
const NUMBER = /%0?\d*d/;

export async function submitView(main, query) {
  const again = query.get("again");
  const [{ tasks }, { roots }, job] = await Promise.all([get("/api/tasks"), get("/api/roots"), again && get(jobPath(again))]);
  const spec = job?.spec ?? asked(query);
  const task = tasks.find((each) => each.name === spec.task) ?? tasks[0];
  fill(main, form(tasks, task, roots, spec));
}

/** Return what a link asks for: a task, inputs, and parameters by their names. */
function asked(query) {
  const params = Object.fromEntries([...query].filter(([name]) => !["task", "input"].includes(name)));
  return { task: query.get("task") ?? "dream", inputs: query.getAll("input"), params };
}

function form(tasks, task, roots, spec) {
  const view = { task, roots, spec, token: token(), output: null, isNamed: Boolean(spec.output) };
  const [preview, estimate] = [h("div", { class: "preview" }, emptyPreview(task)), h("div", { "aria-live": "polite" })];
  view.output = h("input", { type: "text", required: true, value: spec.output ?? "", autocomplete: "off", oninput: () => (view.isNamed = true) });
  view.existing = select([["", "stop if it exists"], ["overwrite", "overwrite what exists"], ["resume", "resume what was begun"]], "");
  view.params = paramFields(task, spec.params ?? {});
  view.options = options(spec, task);
  view.inputs = inputsField(spec.inputs ?? [], (values) => onInputs(view, values, estimate));
  const element = h(
    "form",
    { class: "submit", onsubmit: (event) => event.preventDefault(), oninput: () => (view.token = token()), novalidate: true },
    h("h1", {}, "New job"),
    h("div", { class: "columns" }, h("div", {}, taskField(tasks, task, view), view.inputs.element, outputField(task, view, roots), settingsPart(view)), aside(view, preview, estimate)),
  );
  view.element = element;
  onInputs(view, view.inputs.values, estimate);
  return element;
}

function taskField(tasks, task, view) {
  const control = select(tasks.map((each) => [each.name, each.name]), task.name);
  control.addEventListener("change", () => {
    const inputs = view.inputs.values.map((value) => `&input=${encodeURIComponent(value)}`).join("");
    location.hash = `#/new?task=${encodeURIComponent(control.value)}${inputs}`;
  });
  return field("task", "Task", control, task.title);
}

function outputField(task, view, roots) {
  const label = task.kind === "run" ? "Folder of the run" : "Write to";
  const hint = `A file or folder as ROOT/path; roots: ${roots.join(", ")}. A folder ends with /.`;
  view.existing.setAttribute("aria-label", "What exists there");
  return field("output", label, view.output, hint, view.existing);
}

const paramFields = (task, values) => Object.entries(task.schema.properties ?? {}).map(([name, schema]) => schemaField(name, schema, values[name], task.schema.required?.includes(name)));

/** Return the settings, below a field for the presets of the task. */
function settingsPart(view) {
  const { task } = view;
  const place = h("div", {}, settings(view));
  const names = Object.keys(task.presets);
  const control = select([["", "none"], ...names.map((name) => [name, name])], "");
  control.addEventListener("change", () => {
    view.params = paramFields(task, task.presets[control.value] ?? {});
    fill(place, settings(view));
  });
  return [names.length > 0 && field("preset", "Preset", control, "A look with a name. It replaces the settings below, which you may change then."), place];
}

function settings(view) {
  const [usual, rare] = [view.params.filter((each) => each.isUsual), view.params.filter((each) => !each.isUsual)];
  const isChanged = rare.some((each) => each.read() !== undefined);
  return [
    h("fieldset", { class: "fields" }, h("legend", {}, "Settings"), usual.map((each) => each.element)),
    rare.length > 0 && h("details", { open: isChanged }, h("summary", {}, `More settings (${rare.length})`), h("div", { class: "fields" }, rare.map((each) => each.element))),
    h("details", {}, h("summary", {}, "How the farm runs it"), h("div", { class: "fields" }, view.options.map((each) => each.element))),
  ];
}

function aside(view, preview, estimate) {
  return h(
    "aside",
    { class: "sticky" },
    h("h2", {}, "Before you submit"),
    preview,
    estimate,
    h(
      "p",
      { class: "actions" },
      view.task.kind === "effect" && doing("Preview", () => trying(view, () => showPreview(preview, body(view, "-")))),
      doing("What would it cost?", () => trying(view, async () => showEstimate(estimate, await send("POST", "/api/jobs?dry_run=true", body(view))))),
      doing("Submit", () => trying(view, () => submit(view)), { class: "primary" }),
    ),
    h("p", { class: "error form-error", role: "alert", hidden: true }),
  );
}

function emptyPreview(task) {
  const text = task.kind === "run" ? "A run trains a network. It writes its curves and pictures as it goes." : "A preview renders one picture, or the first frame of a film, at 320 pixels, before any of the work that you submit.";
  return h("p", { class: "quiet" }, text);
}

/** Suggest where to write, and say what the job would cost. */
function onInputs(view, values, estimate) {
  view.token = token();
  if (!view.element) return;
  if (!view.isNamed) view.output.value = suggested(view, values);
  if (values.length && view.output.value) {
    send("POST", "/api/jobs?dry_run=true", { ...body(view), overwrite: true }).then((found) => showEstimate(estimate, found), (error) => fill(estimate, h("p", { class: "hint" }, error.message)));
  }
}

/** Return where to write: beside the first input, or in the first root if that was sent or is blank. */
function suggested({ task, roots }, values) {
  if (!values.length) return "";
  const [first] = values;
  const isHere = roots.some((name) => name !== "uploads" && first.startsWith(`${name}/`));
  const folder = isHere && !roots.includes(baseName(first)) ? first.replace(/[^/]+\/?$/, "") : `${isHere ? baseName(first) : (roots.find((name) => name !== "uploads") ?? "uploads")}/`;
  if (task.kind === "run") return `${folder}${task.name}-run/`;
  const [, stem, suffix] = /^(.*?)(\.[^.]*)?$/.exec(baseName(first).replace(NUMBER, "").replace(/[^\w.-]+/g, "-"));
  if (NUMBER.test(first)) return `${folder}${stem.replace(/[-_.]+$/, "") || "frames"}-${task.name}/${baseName(first)}`;
  if (values.length > 1 || first.endsWith("/")) return `${folder}${stem}-${task.name}/`;
  const ending = task.endless ? ".mp4" : isFilm(first) || LOSSY.test(first) ? suffix : ".png";
  return `${folder}${stem}-${task.name}${ending}`;
}

/** Return fields for what is no parameter of the task. Each reads to a path in the request. */
function options(spec, task) {
  const film = spec.film ?? {};
  const plan = spec.plan ?? {};
  const number = (value, min, max) => h("input", { type: "number", value, min, max });
  const text = (value, placeholder) => h("input", { type: "text", value: value ?? "", placeholder, autocomplete: "off" });
  const rows = [
    ["name", "Name", text(spec.name, "as the output"), "What people call the job.", String],
    ["frames", "Frames", text(spec.frames ?? (task.endless ? ENDLESS : ""), "all"), task.endless ? "How many to make." : "Of films, such as 1-240 or 1-240x2.", String],
    ["priority", "Priority", number(spec.priority ?? 50, 0, 100), "0 to 100; jobs with more come first.", Number],
    ["film.coherence", "Coherence", select([["none", "each frame by itself"], ["flow", "each frame continues the last one"]], film.coherence ?? "none"), "flow keeps films from flickering.", String],
    ["film.quality", "Quality of films", select([["draft", "draft"], ["good", "good"], ["best", "best"]], film.quality ?? "good"), "", String],
    ["film.is_loop", "Loop", h("input", { type: "checkbox", checked: film.is_loop ?? false }), "The end of a film fades into its start.", Boolean],
    ["plan.size", "Size", text(plan.size, "as they are"), "Of the pictures before they are rendered, such as 50%, 1080p or 1280x720.", String],
    ["plan.seed", "Seed", number(plan.seed ?? 0, 0), "Another number gives another variation.", Number],
    ["plan.tile", "Tile", number(plan.tile ?? 1024, 0), "Side in pixels; smaller needs less memory. 0: no tiles.", Number],
    ["workers", "Workers for a unit", number(spec.workers ?? 1, 0), "Share a run or a large still; 0: as many as there are.", Number],
    ["after", "After", text(spec.after?.join(" "), "at once"), "Ids of jobs that must be done first.", (ids) => ids.split(/[\s,]+/).filter(Boolean)],
    ["keeps_going", "Keep going", h("input", { type: "checkbox", checked: spec.keeps_going ?? false }), "However many units fail.", Boolean],
  ];
  return rows
    .filter(([name]) => task.kind === "effect" || !/^(film|frames|plan.size)/.test(name))
    .map(([name, label, control, hint, kind]) => ({ name, element: field(name, label, control, hint), read: () => (kind === Boolean ? control.checked : control.value === "" ? undefined : kind(control.value)) }));
}

/** Return the request that the form stands for. */
function body(view, output = view.output.value.trim()) {
  const { film = {}, plan = {} } = view.spec;
  const request = { task: view.task.name, inputs: view.inputs.values, output, params: {}, film: { ...film }, plan: { ...plan } };
  request.name = baseName(output);
  if (view.existing.value) request[view.existing.value] = true;
  for (const param of view.params) {
    const value = param.read();
    if (value !== undefined) request.params[param.name] = value;
  }
  for (const { name, read } of view.options) {
    const value = read();
    const [outer, inner] = name.split(".");
    if (value === undefined) continue;
    if (inner) request[outer][inner] = value;
    else request[outer] = value;
  }
  return request;
}

async function trying(view, act) {
  const note = view.element.querySelector(".form-error");
  clearFaults(view.element);
  note.hidden = true;
  if (!view.inputs.values.length) return showFault(view.element, { field: "inputs", message: "Choose a picture or a film first." });
  try {
    await act();
  } catch (error) {
    if (error.field && showFault(view.element, error)) return;
    note.textContent = error.message;
    note.hidden = false;
    if (!error.status) alertOf(error);
  }
}

async function submit(view) {
  if (!view.output.value.trim()) return showFault(view.element, { field: "output", message: "Say where to write the result." });
  const job = await send("POST", "/api/jobs", { ...body(view), token: view.token });
  location.hash = `#/jobs/${encodeURIComponent(job.id)}`;
}

/** Return a text that makes a job of its own of what is submitted, and of what is sent twice the same job. */
function token() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
