// Appeals that wait for whoever manages the project: the dashboard's card.
import { get, post } from "./api.js";
import { asked, h, tell, text } from "./dom.js";
import { opinion } from "./said.js";

export const PARTS = { gold: "a hidden check", training: "a training item", probe: "a probe" };

/** The dashboard's card of those that wait; null where none does. */
export async function waitingOnes(project, redraw) {
  const { sheet, waiting } = await get(`/projects/${project}/appeals`);
  return waiting.length ? h("section.card", {}, h("h2", {}, `Appeals (${waiting.length})`), waiting.map((one) => card(project, sheet, one, redraw))) : null;
}

/** An item as its rater saw it, closed at first. */
export const theItem = (one) => h("details", {}, h("summary", {}, "The item"), asked(one), one.answers.map((each, i) => h("div.answer", {}, h("b", {}, "ABCDEFGHI"[i]), text(each, one.language))));

function card(project, sheet, one, redraw) {
  const check = one.part in PARTS;
  const answer = h("input", { maxlength: 2000, "aria-label": "A word to the rater", placeholder: "A word to the rater (if you like)" });
  const settle = (outcome) => post(`/projects/${project}/appeals/${one.id}`, { outcome, answer: answer.value }).then(redraw).catch((error) => tell(error.message));
  const button = (outcome, label) => h("button", { type: "button", onclick: () => settle(outcome) }, label);
  return h("div.form.appeal", {}, h("p", {}, `${one.rater} on ${PARTS[one.part] || "an item"}: “${one.text}”`),
    theItem(one),
    h("p", {}, `The rater said: ${opinion(one.said, sheet)}.`, check && ` The check says: ${opinion(one.expected, { ...sheet, strength: 1 })}.`),
    answer, h("div.line.start", {}, check ? [button("stands", "The check is right"), button("wrong", "The check is wrong: take it out")] : [button("stands", "It stays as it is"), button("wrong", "The rater is right")]));
}
