// What somebody said of an item, in words.
const LETTERS = "ABCDEFGHI";
const TIES = { tie: "both are equally good", both_good: "both are good", both_bad: "both are bad", cant_judge: "can't be judged" };

/** A filled-in sheet, its answers counted as they stand on the page. */
export function opinion(value, sheet) {
  if (value.verdict === "prefer") {
    const steps = sheet.strength > 1 ? ` (strength ${value.strength} of ${sheet.strength})` : "";
    return `${LETTERS[value.preferred || 0]} is better${steps}`;
  }
  if (TIES[value.verdict]) return TIES[value.verdict];
  if (value.ranks) {
    const levels = [...new Set(value.ranks.filter((rank) => rank !== null))].sort((a, b) => a - b);
    return levels.map((level) => value.ranks.flatMap((rank, i) => (rank === level ? [LETTERS[i]] : [])).join(" = ")).join(" > ");
  }
  if (value.steps) return value.steps.map((label, i) => `${i + 1} ${label || "–"}`).join(", ");
  if (value.ratings) return value.ratings.map((one, i) => `${LETTERS[i]}: ${Object.entries(one).map(([key, rating]) => `${key.replaceAll("_", " ")} ${rating}`).join(", ")}`).join("; ");
  return "something else";
}
