// A warning of what an item holds: nothing of the item is on the page until the rater has opened it.
import { h } from "./dom.js";
import { hint } from "./keys.js";
import { t } from "./words.js";

const opened = new Set();

/** What covers an item, or null where nothing is to be warned of or it was opened. A project warns once a visit. */
export function coverOf({ project, warning }, key, own, open, skip) {
  const visit = `heedful.warned.${project}`;
  const whole = warning && sessionStorage.getItem(visit) !== warning ? warning : "";
  const words = [whole, own === "yes" ? t("cover.hard") : own].filter(Boolean);
  if (!words.length || opened.has(key)) return null;
  const show = () => { opened.add(key); if (whole) sessionStorage.setItem(visit, whole); open(); };
  const button = h("button.primary", { type: "button", onclick: show }, t("cover.open"));
  setTimeout(() => button.focus(), 0);
  return h("section.card.narrow.cover", { "aria-label": t("cover.name") }, h("h2", {}, t("cover.title")), words.map((one) => h("p", { dir: "auto" }, one)),
    h("p.dim", {}, skip ? t("cover.may_skip") : t("cover.may_leave")),
    h("div.line", {}, button, skip && h("button", { type: "button", onclick: skip }, t("label.skip"), hint("skip"))));
}
