// What somebody said of an item, in words.
import { t } from "./words.js";

export const LETTERS = "ABCDEFGHI";
const TIES = { tie: t("said.tie"), both_good: t("said.both_good"), both_bad: t("said.both_bad"), cant_judge: t("said.cant_judge") };
export const STEPS = { right: t("sheet.right"), neutral: t("sheet.neutral"), wrong: t("sheet.wrong") };

/** A filled-in sheet, its answers counted as they stand on the page. */
export function opinion(value, sheet) {
  if (value.verdict === "prefer") {
    const letter = LETTERS[value.preferred || 0];
    return sheet.strength > 1 ? t("said.strength", { letter, strength: value.strength, most: sheet.strength }) : t("said.better", { letter });
  }
  if (TIES[value.verdict]) return TIES[value.verdict];
  if (value.ranks) {
    const levels = [...new Set(value.ranks.filter((rank) => rank !== null))].sort((a, b) => a - b);
    return levels.map((level) => value.ranks.flatMap((rank, i) => (rank === level ? [LETTERS[i]] : [])).join(" = ")).join(" > ");
  }
  if (value.steps) return value.steps.map((label, i) => `${i + 1} ${STEPS[label] || "–"}`).join(", ");
  if (value.ratings) return value.ratings.map((one, i) => `${LETTERS[i]}: ${Object.entries(one).map(([key, rating]) => `${key.replaceAll("_", " ")} ${rating}`).join(", ")}`).join("; ");
  return t("said.something");
}
