/** Shows the view that the address names, after its #. */

import { problem } from "./parts.js";
import { forgetPictures } from "./pictures.js";
import { fill } from "./h.js";

let leave = () => {};
let visit = 0;

/** Start. routes: a pattern of the address, and a view: (main, ...parts, query) => a function that ends it. */
export function start(routes) {
  const show = async () => {
    const [path, search = ""] = (location.hash.slice(1) || "/").split("?");
    if (!path.startsWith("/")) return;
    const main = document.getElementById("main");
    const mine = ++visit;
    leave();
    leave = () => {};
    forgetPictures();
    for (const dialog of document.querySelectorAll("dialog:is(.large, .picker)")) dialog.close();
    markCurrent(path);
    const [view, parts] = found(routes, path);
    const isFirst = !main.dataset.shown;
    main.dataset.shown = "yes";
    try {
      const end = (await view(main, ...parts, new URLSearchParams(search))) ?? (() => {});
      if (mine === visit) leave = end;
      else end();
    } catch (error) {
      if (mine === visit) fill(main, problem(error, show));
    }
    if (!isFirst && mine === visit) focusTitle(main);
  };
  addEventListener("hashchange", show);
  show();
}

function found(routes, path) {
  for (const [pattern, view] of routes) {
    const match = pattern.exec(path);
    if (match) return [view, match.slice(1).map((part) => decodeURIComponent(part ?? ""))];
  }
  return [() => { throw new Error("There is no such page."); }, []];
}

function markCurrent(path) {
  for (const link of document.querySelectorAll("header nav a")) {
    const isCurrent = link.hash.slice(1) === path;
    if (isCurrent) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

function focusTitle(main) {
  const title = main.querySelector("h1");
  scrollTo(0, 0);
  title?.setAttribute("tabindex", "-1");
  title?.focus({ preventScroll: true });
}
