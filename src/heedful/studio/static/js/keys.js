// Keys: one table, shown by `?`, that can be changed and is kept in this browser.
import { h } from "./dom.js";
import { t } from "./words.js";

const KEPT = "heedful.keys";
export const ACTIONS = {
  send: ["Enter", t("keys.send")],
  previous: ["u", t("keys.previous")],
  tie: ["t", t("keys.tie")],
  both_good: ["g", t("keys.both_good")],
  both_bad: ["b", t("keys.both_bad")],
  cant_judge: ["c", t("keys.cant_judge")],
  skip: ["s", t("keys.skip")],
  report: ["r", t("keys.report")],
  again: ["n", t("keys.again")],
  reason: ["e", t("keys.reason")],
  flags: ["f", t("keys.flags")],
  guidelines: ["i", t("keys.guidelines")],
  raw: ["w", t("keys.raw")],
  help: ["?", t("keys.help")],
};

/** Which way an arrow goes along what stands side by side: forward, or back. */
export const ALONG = document.documentElement.dir === "rtl" ? { ArrowLeft: 1, ArrowRight: -1 } : { ArrowLeft: -1, ArrowRight: 1 };

const kept = () => {
  try {
    return JSON.parse(localStorage.getItem(KEPT)) || {};
  } catch {
    return {};
  }
};
export const keyOf = (action) => kept()[action] || ACTIONS[action][0];
export const hint = (action) => h("kbd", { "aria-hidden": "true" }, keyOf(action) === "Enter" ? "⏎" : keyOf(action).toUpperCase());

const typing = (target) => target.matches?.("input:not([type=checkbox]), textarea, select, [contenteditable]");
// A button that sets a value says so with aria-pressed: Space presses it, and Enter means the sheet.
const pressedByEnter = (target) => target.matches?.("a, summary, button:not([aria-pressed])");

let handled = {};

/** handlers: action -> function; other(event): keys of no action, true where it took them. */
export function listen(handlers, other) {
  handled = handlers;
  document.addEventListener("keydown", (event) => {
    if (document.querySelector("dialog[open]")) return;
    if (typing(event.target)) {
      if (event.key === "Escape") event.target.blur();
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); handlers.send?.(); }
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (other?.(event)) { event.preventDefault(); return; }
    if (event.key === "Enter" && pressedByEnter(event.target)) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const action = Object.keys(ACTIONS).find((name) => keyOf(name) === key && handlers[name]);
    if (action) event.preventDefault();
    if (action && !event.repeat) handlers[action](); // a key held down does it once
  });
}

/** The help on the keys that this page takes and `means(action)` something on it; each can be changed. */
export function showHelp(extra, means) {
  const rows = Object.entries(ACTIONS).filter(([name]) => handled[name] && means(name)).map(([name, [, about]]) => {
    const button = h("button", { type: "button", "aria-label": t("keys.change", { about }) }, keyOf(name));
    button.addEventListener("click", () => { button.textContent = t("keys.press"); button.dataset.waits = "yes"; });
    button.addEventListener("keydown", (event) => {
      if (!button.dataset.waits || event.key === "Tab") return;
      event.preventDefault();
      delete button.dataset.waits;
      const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
      const free = !/^[0-9]$/.test(key) && key !== "Escape" && !Object.keys(ACTIONS).some((other) => other !== name && keyOf(other) === key);
      if (free) localStorage.setItem(KEPT, JSON.stringify({ ...kept(), [name]: key }));
      button.textContent = free ? key : t("keys.taken", { key: keyOf(name) });
    });
    return h("tr", {}, h("td", {}, button), h("td", {}, about));
  });
  const fixed = extra.map(([keys, about]) => h("tr", {}, h("td", {}, keys.split(" ").map((key) => [h("kbd", {}, key), " "])), h("td", {}, about)));
  dialog(t("keys.title"), h("div.scroll", {}, h("table.keys-table", {}, h("tbody", {}, fixed, rows))), h("p.dim", {}, t("keys.how")));
}

/** A box over the page, closed by Escape or its button; resolves with the form's value. */
export function dialog(title, ...content) {
  const close = h("button", { type: "button" }, t("frame.close"));
  const box = h("dialog", { "aria-label": title }, h("h2", {}, title), ...content, h("p", {}, close));
  close.addEventListener("click", () => box.close());
  box.addEventListener("close", () => box.remove());
  document.body.append(box);
  box.showModal();
  return box;
}

/** A box with words to take along, as a link or a token. A browser copies where the address is safe (https, or this machine). */
export function toTake(title, about, words) {
  const copy = h("button", { type: "button", onclick: () => navigator.clipboard.writeText(words).then(() => { copy.textContent = t("frame.copied"); }) }, t("frame.copy"));
  return dialog(title, h("p", {}, about), h("p.secret", {}, words), navigator.clipboard ? copy : "");
}
