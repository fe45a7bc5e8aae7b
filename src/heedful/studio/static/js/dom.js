// Elements made one by one: no text ever becomes HTML.
import { marked } from "./hidden.js";
import { t } from "./words.js";

/** h("p.dim", {title: "…", onclick: f}, "text", child, [children]) */
export function h(name, attributes = {}, ...children) {
  const [tag, ...classes] = name.split(".");
  const element = document.createElement(tag || "div");
  if (classes.length) element.className = classes.join(" ");
  for (const [key, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value === true) element.setAttribute(key, "");
    else element.setAttribute(key, String(value));
  }
  element.append(...children.flat(9).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Put these in the place of what an element holds. */
export function fill(element, ...children) {
  element.replaceChildren(...children.flat(9).filter((child) => child !== null && child !== undefined && child !== false));
}

/** A table whose rows stand as blocks on a phone, each cell behind its column's name; rows: lists of what cells hold. */
export const stacking = (head, rows) => h("div.scroll", {}, h("table.stacking", {}, head.some(Boolean) && h("thead", {}, h("tr", {}, head.map((name) => h("th", { scope: "col" }, name)))),
  h("tbody", {}, rows.map((cells) => h("tr", {}, cells.map((cell, i) => h("td", { "data-column": head[i] || null }, cell)))))));

export const by = (id) => document.getElementById(id);

let toastTimer = 0;
/** A sentence at the foot of the page for a few seconds. */
export function tell(sentence) {
  const toast = by("toast");
  toast.textContent = sentence;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => { toast.textContent = ""; }, 6000);
}

/** Said to a screen reader. */
export function announce(sentence) {
  const live = by("live");
  if (live) live.textContent = sentence;
}

const TAGS = new Set("p em strong s code pre ul ol li blockquote h1 h2 h3 h4 h5 h6 table thead tbody tr th td hr br a mark".split(" "));

const DIRECTED = new Set("p li h1 h2 h3 h4 h5 h6 th td".split(" ")); // each by its own letters

/** The way that most letters run: a first word in Latin letters turns no Persian sentence round. "": no letters. */
function directionOf(words) {
  const right = words.match(/[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]/gu)?.length || 0;
  const all = words.match(/\p{L}/gu)?.length || 0;
  return all ? (2 * right > all ? "rtl" : "ltr") : "";
}

/** The tree that the server made of a text, as elements of allowed kinds. */
export function fromTree(nodes) {
  return nodes.map((node) => {
    if (typeof node === "string") return node;
    if (!TAGS.has(node.t)) return "";
    const element = h(node.t, {}, ...fromTree(node.c || []));
    if (DIRECTED.has(node.t)) element.dir = directionOf(element.textContent);
    if (node.t === "pre") element.dir = "ltr";
    if (node.t === "a" && /^(https?|mailto):/i.test(node.href)) {
      element.href = node.href;
      element.rel = "noopener noreferrer nofollow";
      element.target = "_blank";
      element.title = node.href;
    }
    if (node.t === "ol" && Number.isInteger(node.start)) element.start = node.start;
    if (node.t === "mark") element.title = t("item.hidden");
    return element;
  });
}

/** A text as its writer meant it, in a language where it is known. */
export const text = (one, language = "") => h("div.text", { dir: one.direction, lang: language || null }, ...fromTree(one.tree));

const ROLES = { user: t("item.asked"), assistant: t("item.answered"), system: t("item.instruction"), text: t("item.text") };

/** What was asked, turn by turn; `raw` with the texts as they were written beside it, hidden. */
export const asked = (task, raw = false) => task.prompt.map((turn) => h(`div.turn.${ROLES[turn.role] ? turn.role : "text"}`, {},
  task.prompt.length > 1 || turn.role === "system" ? h("div.by", {}, ROLES[turn.role] || turn.role) : null,
  h("div.as-meant", {}, text(turn, task.language)), raw && rawOf(turn, task.language)));

/** A text as it was written, but for marks in the place of what is not seen. */
export const rawOf = (one, language) => h("pre.raw", { hidden: true, dir: one.direction, lang: language || null }, marked(one.text));

export const percent = (share) => `${(100 * share).toFixed(share > 0 && share < 0.1 ? 1 : 0)} %`;
