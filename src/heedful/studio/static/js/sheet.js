// One sheet for one item: the answers with what is asked of each, and below them what is asked of all.
//
// Everything that a digit can set is a field. One field is "here"; a digit sets it and goes on to the next, arrows move.
import { changes } from "./diff.js";
import { announce, fill, fromTree, h, rawOf, text } from "./dom.js";
import { nameOf } from "./item.js";
import { ALONG, hint } from "./keys.js";
import { RankBoard } from "./rank.js";
import { LETTERS, STEPS } from "./said.js";
import { t } from "./words.js";

const [SLIGHTLY, BETTER, MUCH, FAR] = [t("sheet.slightly_better"), t("sheet.better"), t("sheet.much_better"), t("sheet.far_better")];
const DEGREES = { 1: [BETTER], 2: [SLIGHTLY, MUCH], 3: [SLIGHTLY, BETTER, MUCH], 4: [SLIGHTLY, BETTER, MUCH, FAR] };
const TIES = { tie: t("sheet.tie"), both_good: t("sheet.both_good"), both_bad: t("sheet.both_bad") };
const DIGITS = 10;
const STEP_LABELS = Object.keys(STEPS);

/** The points of a criterion as buttons; `of` says of what, `chosen()` which point, and `choose(point)` sets it. */
export function scaleOf(criterion, of, chosen, choose) {
  const points = Array.from({ length: criterion.high - criterion.low + 1 }, (_, i) => criterion.low + i);
  const word = (point) => criterion.words[point - criterion.low] || (point < 0 ? `−${-point}` : String(point));
  const buttons = points.map((point) => h("button", { type: "button", "aria-label": t("sheet.point", { label: criterion.label, of, point: word(point) }), onclick: () => choose(point) }, word(point)));
  const element = h("div.criterion", { role: "group", "aria-label": `${criterion.label}, ${of}` },
    h("div.name", {}, criterion.label, criterion.help && h("span.hint", {}, criterion.help)),
    h("div.rated", {}, h("div.points", {}, buttons), criterion.ends[0] && h("div.ends", {}, h("span", {}, criterion.ends[0]), h("span", {}, criterion.ends[1]))));
  const draw = () => buttons.forEach((button, i) => button.setAttribute("aria-pressed", chosen() === points[i]));
  return { element, draw, points };
}

/** Whether a key's action means something on a sheet. */
export function asks(sheet, action) {
  switch (action) {
    case "tie": case "both_good": case "both_bad": return sheet.compare === "pair" && sheet.ties.includes(action);
    case "cant_judge": return sheet.compare !== "none";
    case "reason": return sheet.reason !== "off";
    case "flags": return sheet.flags.length > 0;
    default: return true;
  }
}

export class SheetForm {
  /** onChange(value): after every change by the rater. */
  constructor(sheet, task, onChange) {
    this.sheet = sheet;
    this.task = task;
    this.degrees = sheet.degrees.length ? sheet.degrees : DEGREES[sheet.strength];
    this.onChange = onChange;
    const n = task.answers.length;
    const kept = task.filled_in || {};
    this.value = {
      verdict: "none", preferred: -1, strength: 0, edited: "", edited_from: -1, reason: "", ...kept,
      ranks: kept.ranks?.length === n ? [...kept.ranks] : Array(n).fill(null),
      ratings: task.answers.map((_, i) => ({ ...(kept.ratings?.[i] || {}) })),
      flags: task.answers.map((_, i) => [...(kept.flags?.[i] || [])]),
      steps: sheet.steps ? task.answers[0].steps.map((_, i) => kept.steps?.[i] ?? null) : [],
    };
    this.fields = [];
    this.here = 0;
    this.answers = task.answers.map((answer, place) => this.answer(answer, place));
    this.body = h(`div.answers${n === 1 ? ".one" : n > 2 ? ".many" : ""}`, {}, this.answers, this.editing());
    this.panel = h("section.panel", { "aria-label": t("sheet.your_answer") }, ...this.comparing());
    this.last = h("div.line.last", {}, this.reasoning());
    this.panel.append(this.last);
    this.here = Math.max(0, this.fields.findIndex((field) => !field.aside));
    this.draw();
  }

  // ── what is asked of each answer ──
  answer(answer, place) {
    const name = nameOf(this.task, place);
    const body = this.sheet.steps ? this.steps(answer) : text(answer, this.task.language);
    const article = h("article.answer", { "aria-label": name, tabindex: "-1" },
      h("header", {}, h("h2", {}, name), h("span.rank")),
      h("div.as-meant", {}, body), rawOf(answer, this.task.language),
      this.criteria(place, name), this.flags(place, name));
    if (this.sheet.compare === "pair") {
      article.addEventListener("dblclick", (event) => { if (!event.target.closest("button, a")) this.like(place); });
    }
    return article;
  }

  criteria(place, name) {
    if (!this.sheet.criteria.length) return null;
    return h("div.criteria", {}, this.sheet.criteria.map((criterion) => {
      const set = (value) => { this.value.ratings[place][criterion.key] = value; this.changed(); };
      const { element, draw, points } = scaleOf(criterion, name, () => this.value.ratings[place][criterion.key], (value) => { this.goTo(field); set(value); });
      const field = { element, label: `${name}: ${criterion.label}`, count: points.length, set: (n) => set(points[n - 1]), has: () => criterion.key in this.value.ratings[place], draw };
      this.fields.push(field);
      return element;
    }));
  }

  flags(place, name) {
    const rows = Array.from({ length: Math.ceil(this.sheet.flags.length / DIGITS) }, (_, i) => this.sheet.flags.slice(DIGITS * i, DIGITS * (i + 1)));
    return rows.map((row) => this.flagRow(place, name, row));
  }

  /** As many flags as there are digits: a field aside of the way, to which the key for flags leads. */
  flagRow(place, name, row) {
    const has = (flag) => this.value.flags[place].includes(flag.key);
    const turn = (flag) => {
      const flags = this.value.flags[place];
      this.value.flags[place] = has(flag) ? flags.filter((key) => key !== flag.key) : [...flags, flag.key];
      announce(has(flag) ? t("sheet.flag_on", { flag: flag.label }) : t("sheet.flag_off", { flag: flag.label }));
      this.changed();
    };
    const buttons = row.map((flag, i) => h("button", { type: "button", onclick: () => turn(flag) }, flag.label, h("kbd", { "aria-hidden": "true" }, (i + 1) % DIGITS)));
    const label = t("sheet.remarks", { answer: name });
    const element = h("div.flags", { role: "group", "aria-label": label }, buttons);
    const draw = () => buttons.forEach((button, i) => button.setAttribute("aria-pressed", has(row[i])));
    this.fields.push({ element, label, aside: true, count: row.length, set: (n) => turn(row[n - 1]), has: () => true, draw });
    return element;
  }

  steps(answer) {
    return h("ol.steps", { dir: answer.direction, lang: this.task.language || null }, answer.steps.map((step, number) => {
      const set = (label) => { this.value.steps[number] = label; this.changed(); };
      const buttons = STEP_LABELS.map((label, i) => h("button", { type: "button", "aria-label": t("sheet.step_is", { n: number + 1, what: STEPS[label] }), onclick: () => { this.goTo(field); set(label); } }, STEPS[label], h("kbd", { "aria-hidden": "true" }, i + 1)));
      const element = h("li.step", {}, h("span.number", {}, number + 1), h("div.text", {}, ...fromTree(step)), h("div.points", {}, buttons));
      const field = {
        element, label: t("sheet.step", { n: number + 1 }), count: 3, set: (n) => set(STEP_LABELS[n - 1]),
        has: () => this.value.steps[number] !== null || this.value.steps.slice(0, number).includes("wrong"),
        draw: () => {
          buttons.forEach((button, i) => button.setAttribute("aria-pressed", this.value.steps[number] === STEP_LABELS[i]));
          STEP_LABELS.forEach((label) => element.classList.toggle(label, this.value.steps[number] === label));
        },
      };
      this.fields.push(field);
      return element;
    }));
  }

  // ── what is asked of all answers together ──
  comparing() {
    const { compare, ties } = this.sheet;
    if (compare === "none") return [];
    const rest = h("div.line", { role: "group", "aria-label": t("sheet.no_preference") },
      ties.filter((name) => compare === "pair" && name !== "tie").map((name) => this.verdictButton(name, TIES[name])),
      this.verdictButton("cant_judge", t("sheet.cant_judge")));
    return compare === "pair" ? [this.scale(), rest] : [h("div.line", {}, this.board(), rest)];
  }

  scale() {
    const side = (place) => this.degrees.map((word, i) => ({ place, strength: i + 1, label: t("sheet.degree", { letter: LETTERS[place], degree: word }) }));
    const marks = [...side(0).reverse(), ...(this.sheet.ties.includes("tie") ? [{ place: -1, label: TIES.tie }] : []), ...side(1)];
    const choose = (mark) => (mark.place < 0 ? this.verdict("tie") : this.prefer(mark.place, mark.strength));
    const buttons = marks.map((mark, i) => h("button", { type: "button", onclick: () => { this.goTo(field); choose(mark); } }, mark.label, h("kbd", { "aria-hidden": "true" }, i + 1)));
    const chosen = () => marks.findIndex((mark) => (mark.place < 0 ? this.value.verdict === "tie" : this.value.verdict === "prefer" && mark.place === this.value.preferred && mark.strength === this.value.strength));
    const element = h("div.scale", { role: "group", "aria-label": t("sheet.which") }, buttons);
    const field = {
      element, label: t("sheet.which_open"), count: marks.length, set: (n) => choose(marks[n - 1]),
      slide: (by) => choose(marks[Math.max(0, Math.min(marks.length - 1, (chosen() < 0 ? (marks.length - 1) / 2 - (marks.length % 2 ? 0 : by / 2) : chosen()) + by))]),
      has: () => this.value.verdict !== "none",
      draw: () => {
        buttons.forEach((button, i) => button.setAttribute("aria-pressed", i === chosen()));
        this.answers?.forEach((answer, place) => answer.classList.toggle("chosen", this.value.verdict === "prefer" && this.value.preferred === place));
      },
    };
    this.fields.push(field);
    return element;
  }

  board() {
    this.ranker = new RankBoard(this.value.ranks, (ranks) => { this.value.ranks = ranks; this.value.verdict = "none"; this.byHand = true; this.changed(); });
    this.byHand = this.value.ranks.some((rank) => rank !== null) && this.value.presorted !== "kept";
    this.task.answers.forEach((_, place) => this.fields.push({
      element: this.answers?.[place], place, label: t("sheet.answer", { letter: LETTERS[place] }), count: this.task.answers.length,
      set: (n) => this.ranker.put(place, n - 1), clear: () => this.ranker.put(place, null),
      has: () => this.value.verdict === "cant_judge" || this.value.ranks.filter((rank) => rank !== null).length > 1, draw: () => {},
    }));
    if (!this.sheet.presort) return this.ranker.element;
    const label = this.sheet.criteria.find((one) => one.key === this.sheet.presort).label;
    this.sorted = h("span.dim.presorted", { hidden: !this.value.presorted }, t("sheet.sorted", { label }));
    return [this.ranker.element, this.sorted];
  }

  /** The ranking that the ratings give; null while one of them is missing. */
  byRatings() {
    const ratings = this.value.ratings.map((one) => one[this.sheet.presort]);
    if (ratings.some((rating) => rating === undefined)) return null;
    const levels = [...new Set(ratings)].sort((a, b) => b - a);
    return ratings.map((rating) => levels.indexOf(rating));
  }

  /** Sort the ranking by the ratings until the rater's hand is on it; and keep which of the two it is. */
  presort() {
    const ranks = this.byRatings();
    if (!ranks || (this.byHand && !this.value.presorted)) return;
    if (!this.byHand) {
      if (!this.value.presorted) announce(t("sheet.sorted_now"));
      this.value.ranks = ranks;
      this.ranker.begin(ranks);
    }
    this.value.presorted = String(this.ranker.dense()) === String(ranks) ? "kept" : "changed";
    this.sorted.hidden = false;
  }

  verdictButton(name, label) {
    const button = h("button", { type: "button", onclick: () => this.verdict(name) }, label, hint(name));
    this.verdictButtons = this.verdictButtons || [];
    this.verdictButtons.push(() => button.setAttribute("aria-pressed", this.value.verdict === name));
    return button;
  }

  write() { // the browser's own scrolling would leave the box behind the panel
    this.area.focus({ preventScroll: true });
    this.area.scrollIntoView({ block: "nearest" });
  }

  editing() {
    if (this.sheet.edit === "off") return null;
    if (this.task.answers.length === 1) this.value.edited_from = 0;
    const area = this.area = h("textarea", { rows: 6, dir: "auto", lang: this.task.language || null, "aria-label": t("sheet.as_it_should_be"), placeholder: t("sheet.as_it_should_be") });
    area.value = this.value.edited;
    area.addEventListener("input", () => { this.value.edited = area.value; this.changed(); this.showChanges(); });
    this.changes = h("section", { "aria-label": t("sheet.what_changed") });
    const begin = (place) => {
      area.value = this.task.answers[place].text;
      this.value.edited = area.value;
      this.value.edited_from = place;
      this.changed();
      this.showChanges();
      this.write();
    };
    this.showChanges();
    const buttons = this.task.answers.map((_, place) => h("button", { type: "button", onclick: () => begin(place) }, this.task.answers.length > 1 ? t("sheet.edit", { letter: LETTERS[place] }) : t("sheet.edit_it")));
    return h("div.form.editing", {}, h("div.line", {}, h("span.dim", {}, t("sheet.write_it")), buttons), area, this.changes);
  }

  /** A moment after the last key, since a long text takes a while. */
  showChanges() {
    clearTimeout(this.soon);
    this.soon = setTimeout(() => {
      const { edited, edited_from: from } = this.value;
      fill(this.changes, edited.trim() && from >= 0 ? changes(this.task.answers[from].text, edited, this.task) : null);
    }, 150);
  }

  reasoning() {
    if (this.sheet.reason === "off") return null;
    const wanted = this.sheet.reason === "required";
    this.reason = h("textarea.reason", { rows: 1, dir: "auto", maxlength: 10000, "aria-label": t("sheet.reason"), placeholder: wanted ? t("sheet.why") : t("sheet.why_if_you_like") });
    this.reason.value = this.value.reason;
    this.reason.addEventListener("input", () => { this.value.reason = this.reason.value; this.changed(); });
    return this.reason;
  }

  // ── acts ──
  /** A double click on an answer: it is better, by as much as was said already. */
  like(place) {
    getSelection().removeAllRanges(); // the word that the browser selects at a double click
    if (this.value.verdict !== "prefer" || this.value.preferred !== place) this.prefer(place, 1);
  }

  prefer(place, strength) {
    Object.assign(this.value, { verdict: "prefer", preferred: place, strength });
    announce(t("sheet.chosen", { letter: LETTERS[place], degree: this.degrees[strength - 1] }));
    this.changed(true);
  }

  verdict(name) {
    const off = this.value.verdict === name;
    Object.assign(this.value, { verdict: off ? "none" : name, preferred: -1, strength: 0 });
    announce(off ? t("sheet.nothing_chosen") : TIES[name] || t("sheet.not_judged"));
    this.changed(!off);
  }

  changed(decided = false) {
    if (this.sheet.presort) this.presort();
    this.draw();
    this.onChange(this.result(), decided);
  }

  goTo(field) { this.here = Math.max(0, this.fields.indexOf(field)); this.draw(); }

  move(by) {
    this.here = Math.max(0, Math.min(this.fields.length - 1, this.here + by));
    const field = this.fields[this.here];
    announce(field.label);
    this.draw();
    (field.element || this.answers[field.place]).scrollIntoView({ block: "nearest" });
  }

  /** On to the next flags, round and round. */
  toFlags() {
    const rows = this.fields.flatMap((field, i) => (field.aside ? [i] : []));
    if (rows.length) this.move((rows.find((i) => i > this.here) ?? rows[0]) - this.here);
  }

  /** A key that is a field's: true where it was taken. */
  key(event) {
    const field = this.fields[this.here];
    if (!field) return false;
    if (/^[0-9]$/.test(event.key)) {
      const n = Number(event.key) || 10;
      if (field.clear && event.key === "0") { field.clear(); return true; }
      if (n > field.count) return false;
      field.set(n);
      const next = this.fields.findIndex((one, i) => i > this.here && !one.aside);
      if (!field.aside && next >= 0) this.move(next - this.here);
      return true;
    }
    if (event.key === "Backspace" && field.clear) { field.clear(); return true; }
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      if (this.fields.length < 2) return false;
      this.move(event.key === "ArrowDown" ? 1 : -1);
      return true;
    }
    const by = ALONG[event.key];
    if (by) {
      if (field.slide) { field.slide(by); return true; }
      if (field.place !== undefined) { this.move(by); return true; }
    }
    return false;
  }

  draw() {
    for (const field of this.fields) field.draw();
    for (const draw of this.verdictButtons || []) draw();
    const many = this.fields.length > 1;
    this.fields.forEach((field, i) => (field.element || this.answers?.[field.place])?.classList.toggle("here", many && i === this.here));
    if (this.ranker) this.answers?.forEach((answer, place) => {
      const level = this.ranker.levelOf(place);
      answer.querySelector(".rank").textContent = level === null ? "" : t("rank.place", { n: level + 1 });
      answer.classList.toggle("chosen", level === 0);
    });
  }

  /** What is still missing, as a sentence; empty when it can be sent. */
  missing() {
    if (this.value.verdict === "cant_judge") return "";
    const open = this.fields.findIndex((field) => !field.has());
    if (open >= 0) {
      this.here = open;
      this.move(0);
      return this.sheet.compare === "rank" && this.fields[open].place !== undefined ? t("sheet.rank_two") : t("sheet.open", { what: this.fields[open].label });
    }
    if (this.sheet.reason === "required" && !this.value.reason.trim()) { this.reason.focus(); return t("sheet.reason_first"); }
    if (this.sheet.edit === "required" && !this.value.edited.trim()) { this.write(); return t("sheet.edit_first"); }
    const doubt = this.doubt();
    if (!doubt || doubt === this.doubted) return "";
    this.doubted = doubt;
    return t("sheet.send_again", { doubt });
  }

  /** What may be a slip: it is asked about once, and goes through the second time. */
  doubt() {
    const safe = (place) => this.value.ratings[place]?.safe;
    if (this.value.verdict === "prefer" && safe(this.value.preferred) === 0 && safe(1 - this.value.preferred) === 1) return t("sheet.unsafe");
    if (this.value.presorted === "kept") return t("sheet.order_left");
    return "";
  }

  /** The filled-in sheet as the server reads it. */
  result() {
    const { verdict, preferred, strength, reason, edited, edited_from } = this.value;
    const filled = { verdict, reason };
    if (this.sheet.compare === "pair" && verdict === "prefer") Object.assign(filled, { preferred, strength });
    if (this.sheet.compare === "rank" && this.value.ranks.some((rank) => rank !== null)) filled.ranks = this.ranker.dense();
    if (filled.ranks && this.value.presorted) filled.presorted = this.value.presorted;
    if (this.sheet.criteria.length) filled.ratings = this.value.ratings;
    if (this.value.flags.some((flags) => flags.length)) filled.flags = this.value.flags;
    if (this.sheet.steps) filled.steps = this.value.steps;
    if (edited.trim()) Object.assign(filled, { edited, edited_from });
    if (verdict === "cant_judge") return { verdict, reason };
    return filled;
  }

  /** Nothing but one choice is asked, so that a key may send at once. */
  get single() {
    return this.sheet.compare === "pair" && !this.sheet.criteria.length && !this.sheet.flags.length && this.sheet.edit === "off" && this.sheet.reason !== "required";
  }
}
