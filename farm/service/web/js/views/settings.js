/** What a job was submitted with. */

import { fill, h } from "../h.js";

export async function settingsTab(body, job) {
  const { params, film, plan, ...rest } = job.spec;
  const sections = [["Job", { ...rest, device: job.device, id: job.id }], [`Settings of ${job.task}`, params], ["Plan", plan], ["Film", film]];
  fill(
    body,
    h("p", { class: "actions" }, h("a", { class: "button", href: `#/new?again=${encodeURIComponent(job.id)}` }, "Run it again with these settings…")),
    sections.map(([title, values]) => h("section", {}, h("h2", {}, title), h("dl", { class: "facts" }, Object.entries(values ?? {}).map(row)))),
  );
  return {};
}

function row([name, value]) {
  const text = Array.isArray(value) ? value.map(String).join("\n") : value !== null && typeof value === "object" ? JSON.stringify(value) : String(value ?? "");
  return text !== "" && h("div", {}, h("dt", {}, name.replaceAll("_", " ")), h("dd", {}, text));
}
