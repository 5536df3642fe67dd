/** Fields of a form, made from the JSON schema of a task's parameters. */

import { count } from "./format.js";
import { h } from "./h.js";
import { pick } from "./picker.js";

const NAMES_A_FILE = /picture|file|folder|photograph/i;

/** Return a field with a place for its error. control: with an id. name: as the farm calls it. */
export function field(name, label, control, hint = "", extra = null) {
  const id = `f-${name}`;
  control.id = id;
  control.setAttribute("aria-describedby", `${id}-hint ${id}-error`);
  return h(
    "div",
    { class: "field", "data-field": name },
    h("label", { for: id }, label),
    h("div", { class: "control" }, control, extra),
    h("p", { class: "hint", id: `${id}-hint` }, hint.split("`").map((part, index) => (index % 2 ? h("code", {}, part) : part))),
    h("p", { class: "error", id: `${id}-error`, hidden: true }),
  );
}

/** Return a select. options: pairs of a value and a word. */
export function select(options, value) {
  return h("select", {}, options.map(([each, word]) => h("option", { value: each, selected: each === value }, word)));
}

/** Return a field for a parameter. It has read(): the value, or undefined for the default. */
export function schemaField(name, schema, value, isRequired) {
  const kind = schema.anyOf?.find((each) => each.type !== "null") ?? schema;
  const [control, read, extra] = made(kind, value ?? schema.default ?? null, schema);
  if (isRequired) control.required = true;
  const element = field(`params.${name}`, label(name, schema.title), control, hint(schema, kind), extra);
  const same = (one, other) => JSON.stringify(one) === JSON.stringify(other);
  return { name, element, isUsual: isRequired || usual(schema), read: () => (same(read(), schema.default ?? null) ? undefined : read()) };
}

/** Return the title that a parameter was given, or its name as people write it: style_scale is Style scale. */
function label(name, title = "") {
  const words = name[0].toUpperCase() + name.slice(1).replaceAll("_", " ");
  return title.toLowerCase() === words.toLowerCase() ? words : title || words;
}

/** Return whether a parameter belongs to the main ones: it says so, or it has a value of its own. */
function usual(schema) {
  const { default: value, group } = schema;
  return group === "main" || (value != null && !(Array.isArray(value) && !value.length));
}

function made(kind, value, schema) {
  if (kind.type === "boolean") return yesOrNo(value, schema);
  if (kind.enum) return choice(kind.enum, value, schema);
  if (kind.type === "integer" || kind.type === "number") return number(kind, value);
  if (kind.type === "array" && kind.items?.enum) return choices(kind.items.enum, value ?? []);
  if (kind.type === "array") return list(kind, value ?? [], schema);
  if (kind.type === "string") return text(value, schema);
  return json(value);
}

function yesOrNo(value, schema) {
  if (schema.type !== "boolean") return choice([true, false], value, schema, { true: "on", false: "off" });
  const control = h("input", { type: "checkbox", checked: value === true });
  return [control, () => control.checked];
}

function choice(values, value, schema, words = {}) {
  const none = schema.default === null ? [["", "default"]] : [];
  const control = select([...none, ...values.map((each) => [String(each), words[each] ?? String(each)])], value === null ? "" : String(value));
  return [control, () => values.find((each) => String(each) === control.value) ?? null];
}

function number(kind, value) {
  const control = h("input", { type: "number", step: kind.type === "integer" ? 1 : "any", min: kind.minimum, max: kind.maximum, value: value ?? "", placeholder: value === null ? "default" : null });
  return [control, () => (control.value === "" ? null : Number(control.value))];
}

function choices(values, chosen) {
  const boxes = values.map((value) => h("input", { type: "checkbox", value, checked: chosen.includes(value) }));
  const control = h("div", { class: "boxes", role: "group" }, boxes.map((box) => h("label", { class: "inline" }, box, box.value)));
  const read = () => boxes.filter((box) => box.checked).map((box) => box.value);
  return [control, () => (read().length ? read() : null)];
}

function list(kind, value, schema) {
  const isNumeric = kind.prefixItems || ["integer", "number"].includes(kind.items?.type);
  const control = isNumeric ? h("input", { type: "text", value: value.join(" "), placeholder: "numbers" }) : lines(value, schema.rows ?? 1);
  const read = () => {
    const words = control.value.split(isNumeric ? /[\s,]+/ : /\n/).map((word) => word.trim()).filter(Boolean);
    if (!words.length) return schema.default === null ? null : [];
    return isNumeric ? words.map((word) => (Number.isNaN(Number(word)) ? word : Number(word))) : words;
  };
  const add = (location) => {
    control.value = [...control.value.split("\n").filter(Boolean), location].join("\n");
    control.dispatchEvent(new Event("input", { bubbles: true }));
  };
  return [control, read, chooser(schema, add)];
}

/** Return a field of several lines that is as high as its text, and at least so many rows. */
function lines(value, least) {
  const fit = () => (control.rows = Math.max(least, control.value.split("\n").length));
  const control = h("textarea", { value: value.join("\n"), placeholder: "one a line", oninput: fit });
  fit();
  return control;
}

function text(value, schema) {
  const control = h("input", { type: "text", value: value ?? "", placeholder: schema.default === null ? "none" : null, autocomplete: "off" });
  return [control, () => (control.value === "" ? (schema.default ?? null) : control.value), chooser(schema, (location) => (control.value = location))];
}

function json(value) {
  const control = h("input", { type: "text", value: value === null ? "" : JSON.stringify(value), placeholder: "JSON" });
  const read = () => {
    try {
      return control.value ? JSON.parse(control.value) : null;
    } catch {
      return control.value;
    }
  };
  return [control, read];
}

function chooser(schema, take) {
  if (!NAMES_A_FILE.test(schema.description ?? "")) return null;
  const choose = async () => {
    const location = await pick(schema.title ?? "Choose");
    if (location) take(location);
  };
  return h("button", { type: "button", onclick: choose, "aria-label": `Choose ${schema.title ?? ""} among the farm's files` }, "Choose…");
}

function hint(schema, kind) {
  return [schema.help ?? schema.description, range(kind)].filter(Boolean).join(" ");
}

function range({ minimum, maximum, exclusiveMinimum, exclusiveMaximum }) {
  const bound = (inner, word, outer) => (inner !== undefined ? count(inner) : outer !== undefined ? `${word} ${count(outer)}` : null);
  const low = bound(minimum, "more than", exclusiveMinimum);
  const high = bound(maximum, "less than", exclusiveMaximum);
  if (low === null && high === null) return "";
  if (high === null) return `At least ${low}.`.replace("At least more than", "More than");
  return low === null ? `At most ${high}.` : `Range: ${low} to ${high}.`;
}

/** Show an error of the farm at the field that it names. Returns whether there is one. */
export function showFault(form, { field: name, message }) {
  const fields = [...form.querySelectorAll("[data-field]")];
  const named = (text) => fields.find((each) => text === each.dataset.field || text.startsWith(`${each.dataset.field}.`));
  const place = named(name) ?? named(name.replace(/^params\./, ""));
  if (!place) return false;
  const note = place.querySelector(".error");
  note.textContent = message;
  note.hidden = false;
  for (let parent = place.parentElement; parent; parent = parent.parentElement) if (parent.tagName === "DETAILS") parent.open = true;
  const control = place.querySelector("input, select, textarea, button");
  control.setAttribute("aria-invalid", "true");
  control.focus();
  return true;
}

export function clearFaults(form) {
  for (const note of form.querySelectorAll(".field > .error")) note.hidden = true;
  for (const control of form.querySelectorAll("[aria-invalid]")) control.removeAttribute("aria-invalid");
}
