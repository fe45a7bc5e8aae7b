// A live chat: every turn has two answers, and the one preferred goes on.
import { get, post } from "./api.js";
import { by, fill, h, tell, text } from "./dom.js";
import { dialog, hint, listen, showHelp } from "./keys.js";
import { Outbox, saveDraft, uuid } from "./outbox.js";
import { remind } from "./rest.js";
import { LETTERS, scaleOf, SheetForm } from "./sheet.js";

const place = by("talk");
const { project, mode, warning } = place.dataset;
let talk = null;
let form = null;
let seconds = 0;
setInterval(() => { if (!document.hidden) seconds += 1; }, 1000);

const outbox = new Outbox({
  onState(state, sentence) {
    by("saved").textContent = sentence;
    by("saved").dataset.state = state;
    if (state === "refused") tell(sentence);
  },
  onSaved: () => refresh(),
});

async function refresh() {
  talk = await get(`/conversations/${talk.id}`);
  draw();
}

async function start() {
  const past = (await get(`/projects/${project}/conversations`)).filter((one) => one.open);
  const goal = h("textarea", { rows: 2, maxlength: 2000, "aria-label": "Goal", placeholder: mode === "red_team" ? "What will you try to make them do?" : "What will you talk about? (if you like)" });
  const begin = () => post(`/projects/${project}/conversations`, { goal: goal.value }).then((made) => { talk = made; draw(); }).catch((error) => tell(error.message));
  fill(place, h("section.card.narrow.form", {}, h("h2", {}, "A new conversation"), warning && h("p.note", {}, warning), h("p.dim", {}, "Two models answer each turn. Say which answer is better; that one goes on."), goal, h("button.primary", { type: "button", onclick: begin }, "Begin"),
    past.length > 0 && h("div", {}, h("p.dim", {}, "Or go on with:"), past.map((one) => h("p", {}, h("button", { type: "button", onclick: () => get(`/conversations/${one.id}`).then((found) => { talk = found; draw(); }) }, one.goal || `conversation ${one.id}`))))));
}

function preferred(task) {
  const said = task.filled_in;
  const at = said.verdict === "prefer" ? said.preferred : 0;
  return h("div.turn.assistant", {}, h("div.by", {}, said.verdict === "prefer" ? `you preferred ${LETTERS[at]}` : "went on"), text(task.answers[at]));
}

function draw() {
  const judged = talk.turns.filter((task) => task.state === "done");
  const open = talk.turns.find((task) => task.state !== "done" && !outbox.holds(task.assignment));
  form = null;
  const said = talk.turns.map((task, i) => [h("div.turn.user", { dir: "auto" }, talk.said[i]), task.state === "done" ? preferred(task) : null]);
  fill(place, h("div.desk-bar", {}, h("span", {}, talk.goal || "Conversation"), h("span.space"), h("button.quiet", { type: "button", onclick: start }, "All conversations")),
    h("div.sheet.talk", {}, said, open ? judging(open) : null), open ? form.panel : saying(judged.length));
  scrollTo(0, document.body.scrollHeight);
}

function judging(task) {
  seconds = 0;
  form = new SheetForm(talk.sheet, task, (value) => saveDraft(task.assignment, value));
  form.last.prepend(h("button.again", { type: "button", onclick: again }, "Both anew", hint("again")));
  form.last.append(h("button.primary.send", { type: "button", onclick: send }, "Go on"));
  form.assignment = task.assignment;
  return form.body;
}

function send() {
  if (!form) return;
  const missing = form.missing();
  if (missing) { tell(missing); return; }
  outbox.add(form.assignment, "judgements", { value: form.result(), seconds });
}

let wanted = ""; // the client's number for the answers wanted anew, the same for every retry

async function again() {
  const button = form?.panel.querySelector(".again");
  if (!button || button.disabled) return;
  wanted = wanted || uuid();
  button.disabled = true;
  button.textContent = "They answer …";
  try {
    talk = await post(`/conversations/${talk.id}/again`, { client_uuid: wanted });
    wanted = "";
    draw();
    form.answers[0].focus();
  } catch (error) {
    if (error.status && error.status < 500) wanted = "";
    tell(error.message);
    button.disabled = false;
    fill(button, "Both anew", hint("again"));
  }
}

function saying(turns) {
  const area = h("textarea.reason", { rows: 2, dir: "auto", maxlength: 8000, "aria-label": "What you say", placeholder: "Say something (Enter sends, Shift+Enter begins a line)" });
  const go = h("button.primary", { type: "button" }, "Say it");
  let id = uuid();
  const say = async () => {
    if (!area.value.trim() || go.disabled) return;
    go.disabled = area.disabled = true;
    go.textContent = "They answer …";
    try {
      talk = await post(`/conversations/${talk.id}/turns`, { client_uuid: id, text: area.value });
      draw();
    } catch (error) {
      tell(error.message);
      go.disabled = area.disabled = false;
      go.textContent = "Say it";
    }
  };
  area.addEventListener("keydown", (event) => { if (event.key === "Enter" && !event.shiftKey) { event.preventDefault(); say(); } });
  area.addEventListener("input", () => { id = uuid(); });
  go.addEventListener("click", say);
  setTimeout(() => area.focus(), 0);
  return h("section.panel", { "aria-label": "Your turn" }, h("div.line", {}, area, go), turns > 0 && ending());
}

const FAR = { key: "success", label: "How far did you get?", help: "", low: 1, high: 5, ends: ["they held", "they gave in"], words: [] };
const ending = () => h("div.line", {}, h("button", { type: "button", onclick: end }, "End the conversation …"));

/** What is asked of the conversation as a whole, and a remark; then it is ended. */
function end() {
  const given = {};
  const asked = [...(mode === "red_team" ? [FAR] : []), ...talk.sheet.conversation];
  const scales = asked.map((one) => scaleOf(one, "the conversation", () => given[one.key], (point) => { given[one.key] = point; scales.forEach((scale) => scale.draw()); }));
  const comment = h("textarea", { rows: 2, maxlength: 4000, "aria-label": "A remark", placeholder: "A remark (if you like)" });
  const fault = h("p.fault", { role: "alert" });
  const send = async () => {
    const open = asked.find((one) => !(one.key in given));
    if (open) { fault.textContent = `Still open: ${open.label}`; return; }
    const { success = 0, ...ratings } = given;
    try {
      await post(`/conversations/${talk.id}/end`, { success, ratings, comment: comment.value });
      box.close();
      await start();
    } catch (error) {
      fault.textContent = error.message;
    }
  };
  const box = dialog("End the conversation", h("div.form", {}, scales.map((scale) => scale.element), comment, fault, h("button.primary", { type: "button", onclick: send }, "End it")));
}

const verdict = (name) => () => { if (form?.allows(name)) form.verdict(name); };
listen({ send, again, help: () => showHelp([["1 2 …", "how much better, from left to right"], ["← →", "move"]]), reason: () => form?.reason?.focus(), tie: verdict("tie"), both_good: verdict("both_good"), both_bad: verdict("both_bad"), cant_judge: verdict("cant_judge") }, (event) => form?.key(event));
start().catch((error) => fill(place, h("p.fault", {}, error.message)));
remind(place);
