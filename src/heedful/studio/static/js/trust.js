// Who can be trusted, and with what: each rater's skill, and agreement with the others on each kind of prompt.
import { h, percent, stacking } from "./dom.js";

const FEWEST = 20; // votes or judgements below which nothing is said of a rater
const ALL = "all prompts";

/** A 95 % interval of a share, in percent. */
export const range = (interval) => (interval && interval[0] !== null ? `[${Math.round(100 * interval[0])}, ${Math.round(100 * interval[1])}]` : "");
const share = (value, low, high, n) => (n < FEWEST ? `not enough data (${n})` : value === null ? "–" : `${percent(value)} ${range([low, high])}`);
const alike = (one) => `${share(one.share, one.low, one.high, one.n)}${one.n < FEWEST ? "" : ` of ${one.n.toLocaleString()}`}`;
const number = (value) => (value === null ? "–" : value.toFixed(2));

/** What the report on raters says of each of them; names: what stands for a pseudonym where it may be seen. */
export function trusted(found, names) {
  const called = (one) => (names[one] ? `${names[one]} (${one})` : one);
  return [h("h3", {}, "Who can be trusted?"),
    stacking(["rater", "kind", "votes", "skill", "agrees with the other people", "when guessing, takes the first shown"], found.raters.map((one) => skill(one, found.trust, called))),
    h("p.dim", {}, "Skill is the share of votes that are no guesses, as a model of all raters and answers together has it. In brackets: 95 % intervals."),
    withWhat(found.trust, called), among(found)];
}

function skill(one, trust, called) {
  const all = trust.find((each) => each.rater === one.name && each.stratum === ALL)?.alike;
  return [called(one.name), one.kind, one.votes.toLocaleString(), share(one.skill, one.skill_low, one.skill_high, one.votes),
    all ? alike(all) : "nobody else judged these", one.lean === null || one.votes < FEWEST ? "–" : percent(one.lean)];
}

/** Raters by kinds of prompts, where items tell theirs (a column stratum, family or category). */
function withWhat(trust, called) {
  const kinds = [...new Set(trust.map((one) => one.stratum))].filter((name) => name !== ALL);
  if (!kinds.length) return null;
  const cell = (rater, kind) => {
    const one = trust.find((each) => each.rater === rater && each.stratum === kind)?.alike;
    return one ? alike(one) : "–";
  };
  const raters = [...new Set(trust.map((one) => one.rater))];
  return [h("h3", {}, "And with what?"), h("p.dim", {}, "How far each says what the other people said, by kind of prompt."),
    stacking(["rater", ...kinds], raters.map((rater) => [called(rater), ...kinds.map((kind) => cell(rater, kind))]))];
}

/** Raters two by two, the best that single votes can do, and whether length draws votes. */
function among(found) {
  const pairs = [...found.between].sort((a, b) => a.value.mean - b.value.mean);
  const { slope, longer, votes } = found.length;
  return [found.ceiling !== null && h("p", {}, `A vote agrees with the majority of the others in ${percent(found.majority_of_others)}; the best guess of single votes would be right in ${percent(found.ceiling)}.`),
    h("p", {}, votes < FEWEST ? `Does length draw votes? Not enough data: ${votes} decided votes between answers of different length.` : `The longer answer won ${percent(longer)} of ${votes.toLocaleString()} decided votes; each doubling of length moves the log odds by ${slope.mean < 0 ? "" : "+"}${number(slope.mean)} [${number(slope.low)}, ${number(slope.high)}].`),
    pairs.length > 0 && h("details", {}, h("summary", {}, "Raters two by two"), stacking(["raters", "Cohen's κ and 95 % interval", "shared votes"],
      pairs.map((one) => [one.name, `${number(one.value.mean)} [${number(one.value.low)}, ${number(one.value.high)}]`, one.n.toLocaleString()])))];
}
