/** Loads pictures when they come into view, a few at a time, so that they never hold up anything else. */

import { request } from "./api.js";

const AT_ONCE = 3;
const waiting = [];
const links = new Set();
let running = 0;
let era = 0;

/** Return the address of a picture in this tab's memory. Raises Refused, such as where there is none yet. */
export function loaded(path) {
  return new Promise((resolve, reject) => {
    waiting.push({ path, resolve, reject, era });
    next();
  });
}

async function next() {
  if (running >= AT_ONCE) return;
  const task = waiting.shift();
  if (!task) return;
  running += 1;
  try {
    const blob = await (await patient(task.path)).blob();
    if (task.era !== era) throw new DOMException("the page has gone", "AbortError");
    const link = URL.createObjectURL(blob);
    links.add(link);
    task.resolve(link);
  } catch (error) {
    task.reject(error);
  }
  running -= 1;
  next();
}

/** Ask again while the farm is busy with other pictures. */
async function patient(path) {
  for (let tries = 0; ; tries += 1) {
    try {
      return await request(path);
    } catch (error) {
      if (error.status !== 429 || tries === 5) throw error;
      await new Promise((resolve) => setTimeout(resolve, 1000));
    }
  }
}

/** Let go of a picture. */
export function forget(link) {
  links.delete(link);
  URL.revokeObjectURL(link);
}

/** Let go of all pictures, when another view comes. */
export function forgetPictures() {
  era += 1;
  for (const task of waiting.splice(0)) task.reject(new DOMException("the page has gone", "AbortError"));
  for (const link of [...links]) forget(link);
}

const wanted = new WeakMap();
const seen = new IntersectionObserver(
  (entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      seen.unobserve(target);
      load(target);
    }
  },
  { rootMargin: "200px" },
);

async function load(image) {
  const { path, missing } = wanted.get(image);
  try {
    image.src = await loaded(path);
  } catch {
    image.removeAttribute("src");
    missing();
  }
}

/** Let an image show a picture once it is in view. missing: called if there is none, or no longer. */
export function lazy(image, path, missing = () => {}) {
  wanted.set(image, { path, missing });
  seen.observe(image);
}
