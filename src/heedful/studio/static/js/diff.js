// What a rater changed in an answer, word by word. Texts go into text nodes, never into HTML.
import { h } from "./dom.js";
import { marked } from "./hidden.js";
import { t } from "./words.js";

const MOST = 600; // changed words for which the shortest way is looked for; beyond it all between is one change

const words = (text) => text.match(/\s+|[\p{L}\p{M}\p{N}_'’]+(?:[.,:]\p{N}+)*|[^\s]/gu) || [];

/** [[kind, text], …] with kind "same", "out" or "in", which put together give the one text and the other. */
export function diff(before, after) {
  const a = words(before);
  const b = words(after);
  let head = 0;
  while (head < a.length && head < b.length && a[head] === b[head]) head += 1;
  let tail = 0;
  while (tail < a.length - head && tail < b.length - head && a[a.length - 1 - tail] === b[b.length - 1 - tail]) tail += 1;
  const steps = shortest(a.slice(head, a.length - tail), b.slice(head, b.length - tail));
  return joined([...a.slice(0, head).map((word) => ["same", word]), ...steps, ...a.slice(a.length - tail).map((word) => ["same", word])]);
}

/** Myers' O(ND) walk (1986): the furthest that d changes come on each diagonal k = x − y, and the way back. */
function shortest(a, b) {
  const most = Math.min(a.length + b.length, MOST);
  const trail = [];
  let reach = new Map([[1, 0]]);
  for (let d = 0; d <= most; d += 1) {
    trail.push(new Map(reach));
    for (let k = -d; k <= d; k += 2) {
      let x = k === -d || (k !== d && reach.get(k - 1) < reach.get(k + 1)) ? reach.get(k + 1) : reach.get(k - 1) + 1;
      while (x < a.length && x - k < b.length && a[x] === b[x - k]) x += 1;
      reach.set(k, x);
      if (x >= a.length && x - k >= b.length) return back(a, b, trail);
    }
  }
  return [...a.map((word) => ["out", word]), ...b.map((word) => ["in", word])];
}

function back(a, b, trail) {
  const steps = [];
  let [x, y] = [a.length, b.length];
  for (let d = trail.length - 1; d >= 0; d -= 1) {
    const reach = trail[d];
    const k = x - y;
    const from = k === -d || (k !== d && reach.get(k - 1) < reach.get(k + 1)) ? k + 1 : k - 1;
    const [x0, y0] = [reach.get(from), reach.get(from) - from];
    while (x > x0 && y > y0 && x > 0 && y > 0) { x -= 1; y -= 1; steps.push(["same", a[x]]); }
    if (d === 0) break;
    if (x === x0) { y -= 1; steps.push(["in", b[y]]); } else { x -= 1; steps.push(["out", a[x]]); }
  }
  return steps.reverse();
}

/** Neighbours of one kind as one; a blank between two changes belongs to them, so that a phrase reads as one. */
function joined(steps) {
  const found = [];
  let [out, into] = ["", ""];
  const flush = () => {
    if (out) found.push(["out", out]);
    if (into) found.push(["in", into]);
    [out, into] = ["", ""];
  };
  steps.forEach(([kind, text], i) => {
    const between = kind === "same" && (out || into) && /^\s+$/.test(text) && steps[i + 1] && steps[i + 1][0] !== "same";
    if (between) { out += text; into += text; return; }
    if (kind === "out") { out += text; return; }
    if (kind === "in") { into += text; return; }
    flush();
    if (found.at(-1)?.[0] === "same") found.at(-1)[1] += text;
    else found.push(["same", text]);
  });
  flush();
  return found;
}

/** An answer and its edited form as one text: what went is struck out, what came is underlined. */
export function changes(before, after, { language = "", answers: [first] }) {
  const parts = diff(before, after);
  const count = (kind) => parts.filter(([one]) => one === kind).reduce((sum, [, text]) => sum + words(text).filter((word) => /[\p{L}\p{N}]/u.test(word)).length, 0);
  const said = before === after ? t("diff.nothing") : `${t("diff.out", { n: count("out") })}, ${t("diff.in", { n: count("in") })}`;
  const tag = { same: "span", out: "del", in: "ins" };
  return h("div.changes", {}, h("p.dim", {}, said), h("div.diff", { dir: first.direction, lang: language || null, tabindex: "0", role: "group", "aria-label": t("diff.changes") }, parts.map(([kind, text]) => h(tag[kind], {}, marked(text)))));
}
