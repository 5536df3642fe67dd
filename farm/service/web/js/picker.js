/** A dialog that chooses a file or a folder of the farm. */

import { get } from "./api.js";
import { bytes } from "./format.js";
import { fill, h } from "./h.js";

const PAGE = 200;

/** Return a promise of the location that was chosen, ROOT/path, or null. */
export function pick(title) {
  return new Promise((resolve) => {
    const list = h("ul", { class: "entries" });
    const trail = h("p", { class: "trail" });
    const choose = h("button", { type: "button", class: "primary" }, "Choose this folder");
    const done = (location) => {
      resolve(location);
      dialog.close();
    };
    const dialog = h(
      "dialog",
      { class: "small picker", "aria-labelledby": "picker-title", onclose: () => { dialog.remove(); resolve(null); } },
      h("h2", { id: "picker-title" }, title),
      trail,
      list,
      h("form", { method: "dialog", class: "actions" }, choose, h("button", {}, "Close")),
    );
    const open = async (folder) => {
      choose.hidden = !folder;
      choose.onclick = () => done(`${folder}/`);
      fill(trail, crumbs(folder, open));
      await show(list, folder, open, done);
      list.querySelector("button")?.focus();
    };
    document.body.append(dialog);
    dialog.showModal();
    open("").catch((error) => fill(list, h("li", { class: "error" }, error.message)));
  });
}

function crumbs(folder, open) {
  const parts = folder ? folder.split("/") : [];
  const paths = ["", ...parts.map((_, index) => parts.slice(0, index + 1).join("/"))];
  return paths.map((path) => [h("button", { type: "button", class: "plain", onclick: () => open(path) }, path ? path.split("/").pop() : "farm"), " / "]);
}

async function show(list, folder, open, done, after = "") {
  const places = await get(`/api/roots?limit=${PAGE}&under=${encodeURIComponent(folder)}&after=${encodeURIComponent(after)}`);
  const entries = places.entries ?? places.roots.map((name) => ({ path: name, kind: "folder", size: 0 }));
  entries.sort((one, other) => (other.kind === "folder") - (one.kind === "folder"));
  if (!after) fill(list);
  list.querySelector(".more")?.remove();
  list.append(...[...sequences(entries), ...entries].map((entry) => h("li", {}, line(entry, open, done))));
  if (places.next) list.append(h("li", { class: "more" }, h("button", { type: "button", onclick: () => show(list, folder, open, done, places.next) }, "More")));
  if (!list.childElementCount) list.append(h("li", { class: "quiet" }, "This folder is empty."));
}

/** Return numbered pictures, three at least, as one entry each: frame_%05d.png. */
function sequences(entries) {
  const found = new Map();
  for (const { path, kind, size } of entries) {
    const [, before, digits, suffix] = /^(.*?)(\d+)(\.\w+)$/.exec(path) ?? [];
    if (kind !== "picture" || !digits) continue;
    const pattern = `${before}%0${digits.length}d${suffix}`;
    const sequence = found.get(pattern) ?? { path: pattern, kind: "numbered pictures", size: 0, pictures: 0 };
    found.set(pattern, { ...sequence, size: sequence.size + size, pictures: sequence.pictures + 1 });
  }
  return [...found.values()].filter((sequence) => sequence.pictures > 2);
}

function line({ path, kind, size }, open, done) {
  const isFolder = kind === "folder";
  const name = path.split("/").pop();
  return h(
    "button",
    { type: "button", class: "entry", "data-kind": kind, onclick: () => (isFolder ? open(path) : done(path)) },
    h("span", {}, isFolder ? `${name}/` : name),
    h("small", {}, isFolder ? "" : `${kind} · ${bytes(size)}`),
  );
}
