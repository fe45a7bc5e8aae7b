// An item to look at, with nothing to set.
import { asked, fromTree, h, rawOf, text } from "./dom.js";
import { LETTERS } from "./said.js";
import { t } from "./words.js";

/** What was asked, and the answers as they stood on the sheet. */
export const itemOf = (task) => h("div.sheet", {}, h("section.prompt", { "aria-label": t("item.prompt") }, asked(task, true)),
  h(`div.answers${task.answers.length === 1 ? ".one" : task.answers.length > 2 ? ".many" : ""}`, {}, task.answers.map((one, place) => answer(task, one, nameOf(task, place)))));

export const nameOf = (task, place) => (task.answers.length > 1 ? t("sheet.answer", { letter: LETTERS[place] }) : t("sheet.the_answer"));

const answer = (task, one, name) => h("article.answer", { "aria-label": name }, h("header", {}, h("h2", {}, name)),
  h("div.as-meant", {}, one.steps.length ? h("ol", { dir: one.direction }, one.steps.map((step) => h("li", {}, h("div.text", {}, ...fromTree(step))))) : text(one, task.language)), rawOf(one, task.language));
