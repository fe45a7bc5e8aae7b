// How far raters agree on single answers (ratings, flags, steps), and how their agreement went over time.
import { h, stacking } from "./dom.js";

const TOO_FEW = 20;
const number = (value) => (value === null ? "–" : value.toFixed(2));
const said = (one) => (one.n < TOO_FEW ? "not enough data" : `${number(one.value.mean)} [${number(one.value.low)}, ${number(one.value.high)}]`);
const name = (one) => (one.kind === "step" ? "steps" : one.kind === "comparison" ? "pairs of answers" : `${one.kind}: ${one.key.replaceAll("_", " ")}`);
const day = (seconds) => new Date(1000 * seconds).toLocaleDateString();

/** Both tables; nothing where nobody rated, flagged or labelled steps, and where the judgements are too few to part. */
export function graded(found) {
  const { grades = [], over_time: periods = [] } = found;
  return [grades.length > 0 && [h("h3", {}, "On single answers"), stacking(["asked", "statistic", "value and 95 % interval", "n"], grades.map((one) => [name(one), one.name, said(one), one.n.toLocaleString()]))],
  periods.length > 0 && [h("h3", {}, "Over time"), h("p.dim", {}, "α within each quarter of the judgements, with the chance of the whole."), stacking(["asked", "quarter", "value and 95 % interval", "pairs of judgements"],
    periods.map((one) => [name(one), `${one.quarter}: ${day(one.since)} to ${day(one.until)}`, said(one), one.n.toLocaleString()]))]];
}
