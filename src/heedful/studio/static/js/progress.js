// How far a project is: complete items, and those begun.
import { h } from "./dom.js";
import { t } from "./words.js";

export const progressed = (one) => [t("home.complete", { complete: one.complete, n: one.items }), one.to_decide > 0 && t("dispute.waiting", { n: one.to_decide })].filter(Boolean).join(" · ");

export function progress(one) {
  const bar = h("div.bar", { role: "img", "aria-label": progressed(one) }, h("i"), h("i"));
  bar.children[0].style.width = `${(100 * one.complete) / Math.max(1, one.items)}%`;
  bar.children[1].style.width = `${(100 * (one.begun - Math.min(one.begun, one.complete))) / Math.max(1, one.items)}%`;
  return bar;
}
