// The board of a ranking: places from best to worst, with ties, and what is not ranked. By digit, by click or by dragging.
import { announce, h } from "./dom.js";
import { ALONG } from "./keys.js";
import { LETTERS } from "./said.js";
import { t } from "./words.js";

const placed = (level) => (level === null ? t("rank.none") : t("rank.place", { n: level + 1 }));

export class RankBoard {
  /** ranks: for each answer its place from 0, or null. onChange(ranks): dense again. */
  constructor(ranks, onChange) {
    this.ranks = ranks;
    this.onChange = onChange;
    this.picked = null;
    this.tiers = [...ranks.map((_, level) => level), null].map((level) => this.tier(level));
    this.chips = ranks.map((_, place) => this.chip(place));
    this.element = h("div.board", { role: "group", "aria-label": t("rank.order") }, this.tiers.map((tier) => tier.element));
    this.draw();
  }

  tier(level) {
    const chips = h("div.chips");
    const label = level === null ? t("rank.none") : level === 0 ? t("rank.best") : `${level + 1}`;
    const element = h("div.tier", { "data-level": level === null ? "" : level, onclick: (event) => {
      if (this.picked !== null && !event.target.closest(".chip")) this.put(this.picked, level);
    } }, h("span", {}, label), chips);
    return { level, element, chips };
  }

  chip(place) {
    const chip = h("button.chip", { type: "button" }, LETTERS[place]);
    chip.addEventListener("click", () => { this.picked = this.picked === place ? null : place; this.draw(); });
    chip.addEventListener("keydown", (event) => {
      const by = ALONG[event.key];
      if (!by) return;
      event.preventDefault();
      event.stopPropagation();
      const now = this.ranks[place] ?? (by > 0 ? -1 : this.ranks.length);
      this.put(place, Math.max(0, Math.min(this.ranks.length - 1, now + by)));
      chip.focus();
    });
    chip.addEventListener("pointerdown", (event) => this.drag(event, place, chip));
    return chip;
  }

  drag(start, place, chip) {
    if (start.button) return;
    let moved = false;
    const over = (event) => document.elementFromPoint(event.clientX, event.clientY)?.closest(".tier");
    const move = (event) => {
      if (!moved && Math.hypot(event.clientX - start.clientX, event.clientY - start.clientY) < 6) return;
      moved = true;
      chip.classList.add("dragged");
      chip.style.left = `${event.clientX - 20}px`;
      chip.style.top = `${event.clientY - 18}px`;
      for (const tier of this.tiers) tier.element.classList.toggle("over", tier.element === over(event));
    };
    const end = (event) => {
      removeEventListener("pointermove", move);
      removeEventListener("pointerup", end);
      removeEventListener("pointercancel", end);
      if (!moved) return;
      const tier = event.type === "pointerup" ? over(event) : null;
      chip.classList.remove("dragged");
      chip.style.left = chip.style.top = "";
      for (const one of this.tiers) one.element.classList.remove("over");
      const swallow = (click) => click.stopPropagation(); // the click that ends a drag picks nothing
      addEventListener("click", swallow, { capture: true });
      setTimeout(() => removeEventListener("click", swallow, { capture: true }), 0);
      if (tier) this.put(place, tier.dataset.level === "" ? null : Number(tier.dataset.level));
    };
    addEventListener("pointermove", move);
    addEventListener("pointerup", end);
    addEventListener("pointercancel", end);
  }

  put(place, level) {
    this.ranks = this.ranks.map((rank, i) => (i === place ? level : rank));
    this.picked = null;
    this.draw();
    const tied = this.ranks.filter((rank, i) => i !== place && rank !== null && rank === level).length;
    const at = { letter: LETTERS[place], place: placed(level) };
    announce(tied ? t("rank.tied", at) : t("rank.at", at));
    this.onChange(this.ranks);
  }

  /** Another order, not by the rater's hand. */
  begin(ranks) {
    this.ranks = ranks;
    this.picked = null;
    this.draw();
  }

  levelOf(place) { return this.ranks[place]; }

  /** Places counted 0, 1, 2, … with none left out. */
  dense() {
    const levels = [...new Set(this.ranks.filter((rank) => rank !== null))].sort((a, b) => a - b);
    return this.ranks.map((rank) => (rank === null ? null : levels.indexOf(rank)));
  }

  draw() {
    this.chips.forEach((chip, place) => {
      const tier = this.tiers.find((one) => one.level === this.ranks[place]);
      if (chip.parentElement !== tier.chips) tier.chips.append(chip);
      chip.setAttribute("aria-pressed", this.picked === place);
      chip.setAttribute("aria-label", t("rank.at", { letter: LETTERS[place], place: placed(this.ranks[place]) }));
    });
  }
}
