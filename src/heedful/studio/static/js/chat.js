// A live chat: every turn has two answers, and the one preferred goes on.
import { get, post } from "./api.js";
import { appeal } from "./appeals.js";
import { restart, worked } from "./clock.js";
import { by, fill, h, tell, text } from "./dom.js";
import { dialog, hint, listen, showHelp } from "./keys.js";
import { draftOf, dropDraft, keepDraft, Outbox, saveDraft, uuid } from "./outbox.js";
import { askWhatIsWrong } from "./report.js";
import { remind } from "./rest.js";
import { LETTERS } from "./said.js";
import { asks, scaleOf, SheetForm } from "./sheet.js";
import { t } from "./words.js";

const place = by("talk");
const { project, mode, warning } = place.dataset;
const GOAL = `goal ${project}`;
let talk = null;
let form = null;
let changing = 0; // the assignment of the last choice, while it is changed

const outbox = new Outbox({
  onState(state, sentence) {
    by("saved").textContent = sentence;
    by("saved").dataset.state = state;
    if (state === "refused") tell(sentence);
    if (state === "refused" && talk) draw(); // what was chosen stands there again
  },
  onSaved: (entry) => { if (talk?.turns.some((task) => task.assignment === entry.assignment)) enter(talk.id); },
});

/** Go on with a conversation; a reload comes back to it. */
async function enter(id) {
  try {
    const found = await get(`/conversations/${id}`);
    if (!found.open) { await start(); return; }
    talk = found;
    changing = 0;
    draw();
  } catch (error) {
    tell(error.message);
    if (!talk) await start();
  }
}

async function start() {
  const past = (await get(`/projects/${project}/conversations`)).filter((one) => one.open);
  talk = form = null;
  history.replaceState(null, "", location.pathname);
  const goal = h("textarea", { rows: 2, maxlength: 2000, "aria-label": t("chat.goal"), placeholder: mode === "red_team" ? t("chat.goal_attack") : t("chat.goal_talk") });
  goal.value = draftOf(GOAL) || "";
  goal.addEventListener("input", () => keepDraft(GOAL, goal.value));
  const begin = () => post(`/projects/${project}/conversations`, { goal: goal.value }).then((made) => { dropDraft(GOAL); talk = made; draw(); }).catch((error) => tell(error.message));
  fill(place, h("section.card.narrow.form", {}, h("h2", {}, t("chat.new")), warning && h("p.note", { dir: "auto" }, warning), h("p.dim", {}, t("chat.how")), goal, h("button.primary", { type: "button", onclick: begin }, t("chat.begin")),
    past.length > 0 && h("div", {}, h("p.dim", {}, t("chat.or_go_on")), past.map((one) => h("p", {}, h("button", { type: "button", onclick: () => enter(one.id) }, one.goal || t("chat.numbered", { number: String(one.id) })))))));
}

function preferred(task) {
  const said = task.filled_in;
  const at = said.verdict === "prefer" ? said.preferred : 0;
  return h("div.turn.assistant", {}, h("div.by", {}, said.verdict === "prefer" ? t("chat.preferred", { letter: LETTERS[at] }) : t("chat.went_on")), text(task.answers[at]));
}

function draw() {
  const judged = talk.turns.filter((task) => task.state === "done");
  const open = talk.turns.find((task) => task.assignment === changing || (task.state !== "done" && !outbox.holds(task.assignment)));
  form = null;
  history.replaceState(null, "", `#${talk.id}`);
  const said = talk.turns.map((task, i) => [h("div.turn.user", { dir: "auto" }, talk.said[i]), task.state === "done" && task !== open ? preferred(task) : null]);
  fill(place, h("div.desk-bar", {}, h("span", {}, talk.goal || t("chat.conversation")), changing > 0 && h("span.badge", {}, t("label.changing")), h("span.space"),
    changeable() && h("button.quiet", { type: "button", onclick: previous }, changing ? t("chat.leave") : t("label.back"), hint("previous")), h("button.quiet", { type: "button", onclick: help }, t("label.keys"), hint("help")),
    h("button.quiet", { type: "button", onclick: start }, t("chat.all"))),
    h("div.sheet.talk", {}, said, open ? judging(open) : null), open ? form.panel : saying(judged.length));
  scrollTo(0, document.body.scrollHeight);
}

function judging(task) {
  restart();
  const keep = changing ? keepDraft : saveDraft; // what is half changed is no answer yet, on the server neither
  form = new SheetForm(talk.sheet, { ...task, filled_in: draftOf(task.assignment) || task.filled_in }, (value) => keep(task.assignment, value));
  if (!changing) form.last.prepend(h("button.again", { type: "button", onclick: again }, t("chat.anew"), hint("again")));
  form.last.prepend(h("button", { type: "button", onclick: report }, t("label.report"), hint("report")));
  if (!changing) form.last.prepend(h("button", { type: "button", onclick: skip }, t("label.skip"), hint("skip")));
  form.last.append(h("button.primary.send", { type: "button", onclick: send }, changing ? t("label.change") : t("chat.go_on"), hint("send")));
  form.assignment = task.assignment;
  return form.body;
}

function send() {
  if (!form || outbox.holds(form.assignment)) return;
  const missing = form.missing();
  if (missing) { tell(missing); return; }
  outbox.add(form.assignment, "judgements", { value: form.result(), seconds: worked() });
}

/** The turn is taken out of the conversation, which goes on from before it. */
function skip() { if (form && !changing && !outbox.holds(form.assignment)) outbox.add(form.assignment, "skip", { text: "" }); }

function report() {
  const { assignment } = form || changeable() || {};
  if (!assignment || outbox.holds(assignment)) return;
  if (form && !changing) askWhatIsWrong((said) => outbox.add(assignment, "report", { text: said }));
  else appeal(assignment, t("label.what_is_wrong"));
}

/** The last choice, while nothing was said after it; undefined where there is none. */
const changeable = () => (talk?.turns.at(-1)?.state === "done" ? talk.turns.at(-1) : undefined);

function previous() {
  const last = changeable();
  if (!last) { tell(t("chat.changeable")); return; }
  if (changing) dropDraft(last.assignment);
  changing = changing ? 0 : last.assignment;
  draw();
}

let wanted = ""; // the client's number for the answers wanted anew, the same for every retry

async function again() {
  const button = form?.panel.querySelector(".again");
  if (!button || button.disabled) return;
  wanted = wanted || uuid();
  button.disabled = true;
  button.textContent = t("chat.they_answer");
  try {
    talk = await post(`/conversations/${talk.id}/again`, { client_uuid: wanted });
    wanted = "";
    draw();
    form.answers[0].focus();
  } catch (error) {
    if (error.status && error.status < 500) wanted = "";
    tell(error.message);
    button.disabled = false;
    fill(button, t("chat.anew"), hint("again"));
  }
}

function saying(turns) {
  const area = h("textarea.reason", { rows: 2, dir: "auto", maxlength: 8000, "aria-label": t("chat.what_you_say"), placeholder: t("chat.say_something") });
  const go = h("button.primary", { type: "button" }, t("chat.say_it"));
  const name = `say ${talk.id}`;
  const kept = draftOf(name);
  let id = kept?.id || uuid();
  area.value = kept && kept.text !== talk.said.at(-1) ? kept.text : ""; // what was said, though the page never learnt it
  const say = async () => {
    if (!area.value.trim() || go.disabled) return;
    go.disabled = area.disabled = true;
    go.textContent = t("chat.they_answer");
    try {
      talk = await post(`/conversations/${talk.id}/turns`, { client_uuid: id, text: area.value });
      dropDraft(name);
      draw();
    } catch (error) {
      tell(error.message);
      go.disabled = area.disabled = false;
      go.textContent = t("chat.say_it");
    }
  };
  area.addEventListener("keydown", (event) => { if (event.key === "Enter" && !event.shiftKey) { event.preventDefault(); say(); } });
  area.addEventListener("input", () => { id = uuid(); keepDraft(name, { id, text: area.value }); });
  go.addEventListener("click", say);
  setTimeout(() => area.focus(), 0);
  return h("section.panel", { "aria-label": t("chat.your_turn") }, h("div.line", {}, area, go), turns > 0 && ending());
}

const FAR = { key: "success", label: t("chat.how_far"), help: "", low: 1, high: 5, ends: [t("chat.they_held"), t("chat.they_gave_in")], words: [] };
const ending = () => h("div.line", {}, h("button", { type: "button", onclick: end }, t("chat.end")));

/** What is asked of the conversation as a whole, and a remark; then it is ended. */
function end() {
  const name = `end ${talk.id}`;
  const kept = draftOf(name) || {};
  const given = { ...kept.given };
  const keep = () => keepDraft(name, { given, comment: comment.value });
  const asked = [...(mode === "red_team" ? [FAR] : []), ...talk.sheet.conversation];
  const scales = asked.map((one) => scaleOf(one, t("chat.the_whole"), () => given[one.key], (point) => { given[one.key] = point; scales.forEach((scale) => scale.draw()); keep(); }));
  const comment = h("textarea", { rows: 2, maxlength: 4000, "aria-label": t("chat.remark"), placeholder: t("chat.remark_if_you_like") });
  comment.value = kept.comment || "";
  comment.addEventListener("input", keep);
  scales.forEach((scale) => scale.draw());
  const fault = h("p.fault", { role: "alert", dir: "auto" });
  const send = async () => {
    const open = asked.find((one) => !(one.key in given));
    if (open) { fault.textContent = t("sheet.open", { what: open.label }); return; }
    const { success = 0, ...ratings } = given;
    try {
      await post(`/conversations/${talk.id}/end`, { success, ratings, comment: comment.value });
      dropDraft(name);
      box.close();
      await start();
    } catch (error) {
      fault.textContent = error.message;
    }
  };
  const box = dialog(t("chat.end_title"), h("div.form", {}, scales.map((scale) => scale.element), comment, fault, h("button.primary", { type: "button", onclick: send }, t("chat.end_it"))));
}

const verdict = (name) => () => { if (form && asks(form.sheet, name)) form.verdict(name); };
const help = () => showHelp([["1 2 …", t("keys.better")], ["← →", t("keys.move")]], (action) => !talk || asks(talk.sheet, action));
listen({ send, again, skip, report, previous, help, flags: () => form?.toFlags(), reason: () => form?.reason?.focus(), tie: verdict("tie"), both_good: verdict("both_good"), both_bad: verdict("both_bad"), cant_judge: verdict("cant_judge") }, (event) => form?.key(event));
outbox.flush().then(() => (location.hash ? enter(Number(location.hash.slice(1))) : start())).catch((error) => fill(place, h("p.fault", { dir: "auto" }, error.message)));
remind(place);
