// Keys: one table, shown by `?`, that can be changed and is kept in this browser.
import { h } from "./dom.js";

const KEPT = "heedful.keys";
export const ACTIONS = {
  send: ["Enter", "Send the answer"],
  previous: ["u", "Back to the one before (to change it)"],
  tie: ["t", "They are equally good"],
  both_good: ["g", "Both are good"],
  both_bad: ["b", "Both are bad"],
  cant_judge: ["c", "I can't judge this"],
  skip: ["s", "Skip: it goes to somebody else"],
  report: ["r", "Report that something is wrong with it"],
  again: ["n", "Have both answers of a chat written anew"],
  reason: ["e", "Write a reason"],
  flags: ["f", "To the remarks on an answer, then to the next; digits set them"],
  guidelines: ["i", "Read the guidelines"],
  raw: ["w", "Show texts as written, or as meant"],
  help: ["?", "These keys"],
};

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

/** handlers: action -> function; other(event): keys of no action, true where it took them. */
export function listen(handlers, other) {
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

/** The help, in which each key can be changed. */
export function showHelp(extra) {
  const rows = Object.entries(ACTIONS).map(([name, [, about]]) => {
    const button = h("button", { type: "button", "aria-label": `Change the key for: ${about}` }, keyOf(name));
    button.addEventListener("click", () => { button.textContent = "press a key"; button.dataset.waits = "yes"; });
    button.addEventListener("keydown", (event) => {
      if (!button.dataset.waits || event.key === "Tab") return;
      event.preventDefault();
      delete button.dataset.waits;
      const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
      const free = !/^[0-9]$/.test(key) && key !== "Escape" && !Object.keys(ACTIONS).some((other) => other !== name && keyOf(other) === key);
      if (free) localStorage.setItem(KEPT, JSON.stringify({ ...kept(), [name]: key }));
      button.textContent = free ? key : `${keyOf(name)} (that one is taken)`;
    });
    return h("tr", {}, h("td", {}, button), h("td", {}, about));
  });
  const fixed = extra.map(([keys, about]) => h("tr", {}, h("td", {}, keys.split(" ").map((key) => [h("kbd", {}, key), " "])), h("td", {}, about)));
  dialog("Keys", h("div.scroll", {}, h("table.keys-table", {}, h("tbody", {}, fixed, rows))), h("p.dim", {}, "Press a key's button, then the key that you would rather use."));
}

/** A box over the page, closed by Escape or its button; resolves with the form's value. */
export function dialog(title, ...content) {
  const close = h("button", { type: "button" }, "Close");
  const box = h("dialog", { "aria-label": title }, h("h2", {}, title), ...content, h("p", {}, close));
  close.addEventListener("click", () => box.close());
  box.addEventListener("close", () => box.remove());
  document.body.append(box);
  box.showModal();
  return box;
}
