/** The inputs of a job: chosen among the farm's files, dropped, or blank. */

import { baseName, many } from "./format.js";
import { fill, h } from "./h.js";
import { alertOf, doing } from "./parts.js";
import { pick } from "./picker.js";
import { upload } from "./upload.js";

/** Return a field for the inputs. It has element and values; onChange is called when they change. */
export function inputsField(values, onChange) {
  const list = h("ul", { class: "chips" });
  const note = h("p", { class: "hint", role: "status" });
  const files = h("input", { type: "file", multiple: true, class: "unseen", tabindex: -1, "aria-label": "Files to upload" });
  const inputs = { values: [...values], element: null };

  const show = () => {
    fill(list, inputs.values.map((value) => h("li", { title: value }, h("span", {}, shown(value)), h("button", { type: "button", class: "plain", "aria-label": `Remove ${shown(value)}`, onclick: () => remove(value) }, "×"))));
    onChange(inputs.values);
  };
  const add = (location) => {
    if (!location || inputs.values.includes(location)) return;
    inputs.values = [...inputs.values, location];
    show();
  };
  const remove = (location) => {
    inputs.values = inputs.values.filter((value) => value !== location);
    show();
  };
  const send = async (chosen) => {
    for (const file of chosen) {
      add(await upload(file, (share) => (note.textContent = `Sending ${file.name}: ${Math.round(100 * share)} %`)));
    }
    note.textContent = `${many(chosen.length, "file")} sent`;
  };
  const take = (chosen) => chosen.length && send(chosen).catch((error) => ((note.textContent = ""), alertOf(error)));
  files.addEventListener("change", () => take([...files.files]));

  inputs.element = h(
    "fieldset",
    { class: "inputs field", "data-field": "inputs", ...dropping(take) },
    h("legend", {}, "Pictures or films"),
    list,
    h("p", { class: "quiet" }, "Drop files here, or choose them:"),
    h("p", { class: "actions" }, h("button", { type: "button", onclick: () => files.click() }, "From this computer…"), doing("From the farm…", async () => add(await pick("Choose a picture, a film or a folder"))), h("button", { type: "button", class: "plain", onclick: () => add("blank:512x512") }, "Start from a blank picture")),
    files,
    note,
    h("p", { class: "error", hidden: true }),
  );
  show();
  return inputs;
}

const shown = (location) => (location.startsWith("uploads/") ? baseName(location) : location);

function dropping(take) {
  const mark = (event, isOver) => {
    event.preventDefault();
    event.currentTarget.classList.toggle("over", isOver);
  };
  return {
    ondragover: (event) => mark(event, true),
    ondragleave: (event) => mark(event, false),
    ondrop: (event) => (mark(event, false), take([...event.dataTransfer.files])),
  };
}
