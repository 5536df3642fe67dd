/** Before and after, divided where the pointer is; by keyboard, with a slider. */

import { fill, h, setVars } from "./h.js";
import { loaded } from "./pictures.js";

/** Return a picture before and after. before, after: paths; empty where there is none. */
export function comparison(before, after) {
  const place = h("div", { class: "compare" }, h("p", { class: "quiet" }, before || after ? "Loading the picture…" : ""));
  Promise.all([before, after].map((path) => path && loaded(path).catch(() => null))).then(([first, second]) => {
    if (first && second) fill(place, both(first, second));
    else if (first || second) fill(place, h("img", { src: first || second, alt: second ? "Result" : "Source" }), h("p", { class: "hint" }, second ? "Result; its source cannot be shown" : "Source; there is no result yet"));
    else fill(place);
  });
  return place;
}

function both(before, after) {
  const slider = h("input", { type: "range", min: 0, max: 100, value: 50, "aria-label": "How much of the result to show, from the right" });
  const frame = h("div", { class: "divided", vars: { "--at": "50%" } }, h("img", { src: after, alt: "Result" }), h("img", { src: before, alt: "Source", class: "before" }), h("i", {}));
  const set = (share) => setVars(frame, { "--at": `${100 * Math.min(1, Math.max(0, share))}%` });
  slider.addEventListener("input", () => set(slider.value / 100));
  frame.addEventListener("pointermove", (event) => {
    const box = frame.getBoundingClientRect();
    const share = (event.clientX - box.left) / box.width;
    set(share);
    slider.value = 100 * share;
  });
  return [frame, h("label", { class: "slider" }, h("span", {}, "before"), slider, h("span", {}, "after"))];
}
