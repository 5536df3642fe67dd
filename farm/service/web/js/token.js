/** Asks for the token of a farm that others can reach. */

import { h } from "./h.js";

let asking = null;

/** Return a token that the user gives. However many requests ask, one question is shown. */
export function askToken(wasRefused) {
  asking ??= shown(wasRefused).finally(() => (asking = null));
  return asking;
}

function shown(wasRefused) {
  return new Promise((resolve) => {
    const input = h("input", { type: "password", id: "token", autocomplete: "off", required: true, size: 40 });
    const onclose = () => {
      dialog.remove();
      resolve(input.value.trim());
    };
    const dialog = h(
      "dialog",
      { class: "small", "aria-labelledby": "token-title", oncancel: (event) => event.preventDefault(), onclose },
      h(
        "form",
        { method: "dialog" },
        h("h2", { id: "token-title" }, "This farm asks for a token"),
        wasRefused && h("p", { class: "error", role: "alert" }, "The farm does not know this token."),
        h("label", { for: "token" }, "Token"),
        input,
        h("p", { class: "hint" }, "Whoever runs the farm makes one with ", h("code", {}, "farm token new NAME"), ". It is forgotten when you close this tab."),
        h("p", { class: "actions" }, h("button", { class: "primary" }, "Open the farm")),
      ),
    );
    document.body.append(dialog);
    dialog.showModal();
  });
}
