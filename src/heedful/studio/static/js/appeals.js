// Appeals: made where a rater works, settled on the dashboard.
import { get, post } from "./api.js";
import { asked, h, tell, text } from "./dom.js";
import { dialog } from "./keys.js";
import { opinion } from "./said.js";

export const PARTS = { gold: "a hidden check", training: "a training item", probe: "a probe" };
const SEEN = "heedful.appeals.seen";

/** Ask what is wrong with an item that has an answer; onMade() once it is kept. */
export function appeal(assignment, title, onMade) {
  const area = h("textarea", { rows: 3, maxlength: 2000, "aria-label": "What is wrong with it" });
  const fault = h("p.fault", { role: "alert" });
  const send = async () => {
    if (!area.value.trim()) { area.focus(); return; }
    try {
      await post(`/assignments/${assignment}/appeal`, { text: area.value });
      box.close();
      tell("It goes to whoever manages the project. Until it is settled it doesn't count for you or against you.");
      onMade?.();
    } catch (error) {
      fault.textContent = error.message;
    }
  };
  const box = dialog(title, h("div.form", {}, area, fault, h("button.primary", { type: "button", onclick: send }, "Send it")));
  area.focus();
}

/** What became of the rater's own appeals, each told once in this browser. */
export async function settledOnes(project) {
  const seen = JSON.parse(localStorage.getItem(SEEN) || "[]");
  const news = (await get(`/projects/${project}/my-appeals`)).filter((one) => one.outcome && !seen.includes(one.id));
  if (!news.length) return null;
  const words = { stands: "It was looked at again, and it stays as it is.", wrong: "You were right, and it doesn't count against you. Thank you." };
  const note = h("div.note.settled", { role: "status" }, news.map((one) => h("p", {}, `You said: “${one.text}” ${words[one.outcome]}`, one.answer && ` “${one.answer}”`)),
    h("button", { type: "button", onclick: () => { localStorage.setItem(SEEN, JSON.stringify([...seen, ...news.map((one) => one.id)].slice(-200))); note.remove(); } }, "I have read it"));
  return note;
}

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
