/** Follows what happens in the farm, and goes on where it was after a break. */

import { request } from "./api.js";

const LONGEST_WAIT = 15000;
const TICK = 30000;

/**
 * Follow the farm, or one job. Returns a function that ends it.
 *
 * reload: called when everything has to be loaded anew, at first and after gaps that are too long.
 * on: called with the kind and the data of each event; with the kind tick now and then, and after a break.
 * lost: called when the farm does not answer.
 */
export function follow(job, { reload, on, lost = () => {} }) {
  const ended = new AbortController();
  let last = null;
  let current = new AbortController();
  const onVisibility = () => current.abort();
  document.addEventListener("visibilitychange", onVisibility);
  ended.signal.addEventListener("abort", () => current.abort());

  async function listen() {
    let wait = 1000;
    let isLost = false;
    while (!ended.signal.aborted) {
      if (document.hidden) await shownAgain(ended.signal);
      current = new AbortController();
      try {
        const headers = last === null ? {} : { "last-event-id": last };
        const path = job ? `/api/events?job=${encodeURIComponent(job)}` : "/api/events";
        const response = await request(path, { headers, signal: current.signal });
        show("live");
        if (last === null) reload();
        else if (isLost) on("tick", null);
        isLost = false;
        wait = 1000;
        for await (const event of events(response.body)) {
          last = event.id ?? last;
          if (event.kind === "reset") reload();
          else if (!ended.signal.aborted) on(event.kind, event.data);
        }
      } catch (error) {
        if (ended.signal.aborted) return;
        if (error.name === "AbortError") continue;
        if (last === null) reload();
        show("lost");
        isLost = true;
        lost();
      }
      await pause(wait, ended.signal);
      wait = Math.min(2 * wait, LONGEST_WAIT);
    }
  }
  listen();
  const ticking = setInterval(() => document.hidden || on("tick", null), TICK);
  return () => {
    clearInterval(ticking);
    document.removeEventListener("visibilitychange", onVisibility);
    ended.abort();
    show("");
  };
}

function show(state) {
  const place = document.getElementById("connection");
  if (place.dataset.state === state) return;
  place.dataset.state = state;
  place.textContent = { live: "live", lost: "not connected; trying again" }[state] ?? "";
}

function pause(milliseconds, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
  });
}

function shownAgain(signal) {
  return new Promise((resolve) => {
    const done = () => {
      if (document.hidden && !signal.aborted) return;
      document.removeEventListener("visibilitychange", done);
      resolve();
    };
    document.addEventListener("visibilitychange", done);
    signal.addEventListener("abort", done, { once: true });
  });
}

async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const blocks = (text + value).split("\n\n");
    text = blocks.pop();
    for (const block of blocks) {
      const event = parsed(block);
      if (event) yield event;
    }
  }
}

function parsed(block) {
  const fields = Object.fromEntries(block.split("\n").map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 2)]));
  return fields.event ? { kind: fields.event, id: fields.id, data: JSON.parse(fields.data) } : null;
}

let pressed = false;
addEventListener("pointerdown", () => (pressed = true), true);
for (const kind of ["pointerup", "pointercancel"]) addEventListener(kind, () => setTimeout(() => (pressed = false), 100), true);

/** Wait until no button is being pressed, so that nobody presses what is replaced meanwhile. */
export async function still() {
  while (pressed) await new Promise((resolve) => setTimeout(resolve, 50));
}

/** Return a function that runs another at most once in so many milliseconds, and never twice at once. */
export function calmly(run, milliseconds) {
  let timer = null;
  let isBusy = false;
  let isWanted = false;
  const start = async () => {
    timer = null;
    isBusy = true;
    isWanted = false;
    await run();
    isBusy = false;
    if (isWanted) again();
  };
  const again = () => {
    isWanted = true;
    if (!isBusy) timer ??= setTimeout(start, milliseconds);
  };
  return again;
}
