/** Plays the frames of a job that are finished, while the others are in the making. */

import { get, jobPath, picturePath, request, resultPath, hasToken } from "../api.js";
import { hasEnded, isDone, isFilm, isStepOfFilm } from "../format.js";
import { fill, h } from "../h.js";
import { calmly } from "../live.js";
import { alertOf, doing } from "../parts.js";
import { forget, loaded } from "../pictures.js";

const AHEAD = 24;
const KEPT = 300;

export async function filmTab(body, job) {
  const player = new Player(job);
  const whole = h("div");
  fill(body, player.element, whole);
  const load = async () => {
    await showWhole(whole, job);
    player.element.hidden = Boolean(whole.firstChild) && hasEnded(job.state);
    if (!player.element.hidden) await player.load();
  };
  await load();
  const update = calmly(() => load().catch(alertOf), 2000);
  return { show: (current) => (job = current), reload: update, on: (kind) => kind !== "progress" && update(), end: () => player.pause() };
}

/** Show the film itself, once it is written. */
async function showWhole(place, job) {
  if (place.firstChild) return;
  const { results } = await get(jobPath(job.id, "/results?limit=1000"));
  const film = results.find((result) => isFilm(result.path));
  if (!film) return;
  const path = resultPath(job.id, film.path, film.unit);
  const src = hasToken() ? URL.createObjectURL(await (await request(path)).blob()) : path;
  fill(place, h("h2", {}, "The finished film"), h("video", { src, controls: true, loop: true, preload: "metadata" }));
}

class Player {
  constructor(job) {
    this.job = job;
    this.frames = [];
    this.at = 0;
    this.timer = null;
    this.kept = new Map();
    this.image = h("img", { alt: "Frame", hidden: true });
    this.note = h("p", { class: "quiet" });
    this.slider = h("input", { type: "range", min: 0, max: 0, value: 0, "aria-label": "Frame", oninput: () => this.show(Number(this.slider.value)) });
    this.button = doing("Play", () => (this.timer ? this.pause() : this.play()), { class: "primary" });
    this.rate = h("input", { type: "number", min: 1, max: 60, value: 12, onchange: () => this.timer && this.play() });
    this.element = h("div", { class: "player" }, this.image, h("div", { class: "actions" }, this.button, this.slider, h("label", { class: "inline" }, "Frames a second", this.rate)), this.note);
  }

  /** Find the frames that are finished, in their order. */
  async load() {
    const frames = [];
    let total = 0;
    for (let after = -1; after !== null; ) {
      const page = await get(jobPath(this.job.id, `/units?after=${after}&limit=1000`));
      const pictures = page.units.filter((unit) => !isStepOfFilm(unit));
      total += pictures.length;
      frames.push(...pictures.filter((unit) => isDone(unit.state)).map((unit) => unit.number));
      after = page.next;
    }
    this.frames = frames;
    this.slider.max = Math.max(0, frames.length - 1);
    this.note.textContent = frames.length ? `${frames.length} of ${total} frames are finished` : "No frame is finished yet. The film plays here as it grows.";
    if (frames.length && this.image.hidden) await this.show(0);
  }

  play() {
    this.pause();
    this.button.textContent = "Pause";
    const rate = Math.min(60, Math.max(1, Number(this.rate.value) || 12));
    this.timer = setInterval(() => this.show((this.at + 1) % Math.max(1, this.frames.length)), 1000 / rate);
  }

  pause() {
    clearInterval(this.timer);
    this.timer = null;
    this.button.textContent = "Play";
  }

  /** Show a frame if it is loaded; let it and those after it be loaded. */
  async show(index) {
    for (let next = index; next < Math.min(index + AHEAD, this.frames.length); next += 1) this.fetch(this.frames[next]);
    const link = await this.kept.get(this.frames[index]);
    if (!link) {
      if (link === null && index + 1 < this.frames.length) this.at = index;
      else if (link === null) this.note.textContent = "The single frames have been put into the film, and are gone.";
      return;
    }
    this.at = index;
    this.slider.value = index;
    this.image.src = link;
    this.image.hidden = false;
  }

  fetch(number) {
    if (this.kept.has(number)) return;
    this.kept.set(number, loaded(picturePath(this.job.id, number, "result", 600)).catch(() => null));
    if (this.kept.size <= KEPT) return;
    const [oldest, link] = this.kept.entries().next().value;
    this.kept.delete(oldest);
    link.then((text) => text && forget(text));
  }
}
