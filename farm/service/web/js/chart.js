/** Draws charts as SVG: bars over time, and curves. */

import { h, s } from "./h.js";

const [WIDTH, HEIGHT] = [600, 120];
const DASHES = ["", "6 3", "2 3", "8 3 2 3", "1 3"];

/** Return a chart of bars, one a minute. minutes: the minutes in which anything was, with at and pixels. */
export function throughput(minutes, now = Date.now() / 1000) {
  const slots = 60;
  const values = new Array(slots).fill(0);
  for (const { at, pixels } of minutes) {
    const slot = slots - 1 - Math.floor((now - at) / 60);
    if (slot >= 0 && slot < slots) values[slot] += pixels / 1e6;
  }
  const most = Math.max(...values, 1e-9);
  const step = WIDTH / slots;
  const bars = values.map((value, slot) => {
    const tall = value && Math.max(2, (value / most) * (HEIGHT - 8));
    return s("rect", { x: slot * step, y: HEIGHT - tall, width: step - 2, height: tall, rx: 1 });
  });
  const text = `Megapixels a minute over the last hour; most: ${short(most)}`;
  return h(
    "figure",
    { class: "chart" },
    s("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": text, class: "bars", preserveAspectRatio: "none" }, bars),
    h("figcaption", {}, h("span", {}, "an hour ago"), h("span", {}, `most: ${short(most)} megapixels a minute`), h("span", {}, "now")),
  );
}

/** Return a chart of curves. series: values at the steps by name; null where there is none. */
export function curves(title, steps, series) {
  const names = Object.keys(series);
  const all = names.flatMap((name) => series[name]).filter((value) => value != null);
  if (!all.length) return null;
  const [low, high] = [Math.min(...all), Math.max(...all)];
  const [first, last] = [steps[0], steps.at(-1)];
  const x = (step) => (last > first ? ((step - first) / (last - first)) * WIDTH : WIDTH / 2);
  const y = (value) => (high > low ? HEIGHT - 4 - ((value - low) / (high - low)) * (HEIGHT - 8) : HEIGHT / 2);
  const lines = names.map((name, number) =>
    s("path", { d: path(steps, series[name], x, y), class: `curve curve-${number % 5}`, "stroke-dasharray": DASHES[number % 5] }),
  );
  const text = `${title}: ${names.map((name) => `${name} ${short(lastOf(series[name]))}`).join(", ")}`;
  return h(
    "figure",
    { class: "chart" },
    h("figcaption", {}, h("strong", {}, title), h("span", {}, `${short(low)} to ${short(high)}`)),
    s("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": text, preserveAspectRatio: "none" }, lines),
    names.length > 1 && h("ul", { class: "legend" }, names.map((name, number) => h("li", {}, h("i", { class: `curve-${number % 5}` }), `${name} ${short(lastOf(series[name]))}`))),
    h("figcaption", {}, h("span", {}, `step ${first}`), names.length === 1 && h("span", {}, `now ${short(lastOf(series[names[0]]))}`), h("span", {}, `step ${last}`)),
  );
}

function path(steps, values, x, y) {
  let pen = "M";
  const points = values.map((value, index) => {
    if (value == null) {
      pen = "M";
      return "";
    }
    const point = `${pen}${x(steps[index]).toFixed(1)} ${y(value).toFixed(1)}`;
    pen = "L";
    return point;
  });
  return points.join("");
}

const lastOf = (values) => values.findLast((value) => value != null) ?? 0;
const short = (value) => String(Number(value.toPrecision(3)));
