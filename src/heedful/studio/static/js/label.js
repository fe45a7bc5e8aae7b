// The desk: one item after another. An answer goes to the outbox and the next item, held already, is there at once.
import { get, post } from "./api.js";
import { appeal, settledOnes } from "./appeals.js";
import { restart, worked } from "./clock.js";
import { coverOf } from "./cover.js";
import { asked, by, fill, fromTree, h, tell } from "./dom.js";
import { itemOf } from "./item.js";
import { dialog, hint, listen, showHelp } from "./keys.js";
import { draftOf, Outbox, saveDraft } from "./outbox.js";
import { askWhatIsWrong } from "./report.js";
import { remind } from "./rest.js";
import { opinion } from "./said.js";
import { asks, SheetForm } from "./sheet.js";
import { t, when } from "./words.js";

const place = by("desk");
const project = place.dataset.project;
const AT_ONCE = "heedful.at-once";

let desk = null; // what the server last said
let ready = []; // items held and not yet answered
let task = null; // the one on the screen
let form = null;
let back = null; // the item to return to while an earlier answer is changed
let seen = []; // earlier answers looked at in this walk back
let raw = false;
const gone = new Set(); // dealt with here; an answer of the server that was under way may still name them
let taught = 0; // the training item whose feedback is awaited or shown
let said = null; // that item, and what was answered
let filling = Promise.resolve();

const outbox = new Outbox({
  onState(state, sentence, entry) {
    const mark = by("saved");
    mark.textContent = sentence;
    mark.dataset.state = state;
    if (state === "refused") {
      tell(t("label.refused", { fault: sentence }));
      gone.delete(entry?.assignment);
      if (entry?.kind === "judgements") reopen(entry.assignment);
    }
  },
  onSaved(entry, answer) {
    if (taught === entry.assignment && Object.keys(answer.feedback || {}).length) showFeedback(answer.feedback);
    else if (taught === entry.assignment) { taught = 0; refill(); } // the check was taken out meanwhile
    else if (answer.late) tell(t("label.late"));
  },
});

async function lease() {
  desk = await post(`/projects/${project}/desk`);
  ready = desk.tasks.filter((one) => !gone.has(one.assignment) && !outbox.holds(one.assignment));
}

async function start() {
  try {
    await outbox.flush();
    await lease();
    next();
  } catch (error) {
    fill(place, h("section.card.narrow", {}, h("h2", {}, t("label.none_now")), h("p", { dir: "auto" }, error.message),
      h("button.primary", { type: "button", onclick: start }, t("label.try_again"))));
  }
}

function next() {
  taught = 0;
  back = null;
  seen = [];
  [task] = ready;
  if (task) show(task);
  else finished();
}

function finished() {
  task = form = null;
  fill(place, h("section.card.narrow", { "data-finished": "yes" }, h("h2", {}, !desk.open ? t("label.closed") : desk.again_at ? t("label.rest") : t("label.nothing_more")),
    desk.open && desk.again_at > 0 && h("p", {}, t("label.rest_until", { time: when(desk.again_at) })),
    h("p", {}, t("label.done", { n: desk.done })),
    h("div.line", {}, h("button", { type: "button", onclick: start }, t("label.look_again")), h("button", { type: "button", onclick: previous }, t("label.last_one")), h("a.button", { href: "/" }, t("frame.projects")))));
}

function show(one) {
  task = one;
  restart();
  form = null;
  place.dataset.assignment = one.assignment;
  const cover = coverOf(place.dataset, one.assignment, one.warning, () => show(one), back ? null : skip);
  if (cover) { fill(place, bar(one), cover); return; }
  const filled = draftOf(one.assignment) || one.filled_in;
  form = new SheetForm(desk.sheet, { ...one, filled_in: filled }, (value, decided) => {
    saveDraft(task.assignment, value);
    if (decided && form.single && localStorage.getItem(AT_ONCE) && !back && value.verdict !== "none") setTimeout(send, 120);
  });
  form.last.prepend(h("button", { type: "button", onclick: skip }, t("label.skip"), hint("skip")), h("button", { type: "button", onclick: report }, t("label.report"), hint("report")));
  form.last.append(h("button.primary.send", { type: "button", onclick: send }, back ? t("label.change") : t("label.send"), hint("send")));
  fill(place, bar(one), h("div.sheet", {}, h("section.prompt", { "aria-label": t("item.prompt") }, asked(one, true)), onTheWay(one), suggested(one), form.body), form.panel);
  showRaw();
  scrollTo(0, 0);
}

function bar(one) {
  const button = (action, label, act) => h("button.quiet", { type: "button", onclick: act }, label, hint(action));
  const atOnce = h("input", { type: "checkbox", checked: Boolean(localStorage.getItem(AT_ONCE)) });
  atOnce.addEventListener("change", () => { if (atOnce.checked) localStorage.setItem(AT_ONCE, "yes"); else localStorage.removeItem(AT_ONCE); });
  return h("div.desk-bar", {}, h("span", {}, desk.name), h("span", {}, t("label.today", { n: desk.today })),
    one.training && h("span.badge", {}, t("label.training")), back && h("span.badge", {}, t("label.changing")),
    h("span.space"), form?.single && h("label.hide-small", {}, atOnce, ` ${t("label.at_once")}`),
    button("previous", t("label.back"), previous), button("raw", t("label.as_written"), toggleRaw), desk.guidelines.length > 0 && button("guidelines", t("label.guidelines"), guidelines), button("help", t("label.keys"), help));
}

/** A rater who is still to qualify is told how far it is, kindly. */
function onTheWay(one) {
  const way = desk.on_the_way;
  if (!way || !one.training) return null;
  const far = way.done ? t("label.so_far", { right: way.right, done: way.done }) : "";
  return h("p.note.prompt", {}, [t("label.on_the_way", { need: way.need, n: way.of }), far, t("label.take_time")].filter(Boolean).join(" "));
}

function suggested(one) {
  if (!one.suggestions.length) return null;
  const said = one.suggestions.map((value) => opinion(value, { ...desk.sheet, strength: 1 })).join("; ");
  return h("p.note.prompt", {}, t("label.suggested", { said }));
}

function done(kind, body) {
  const answered = task;
  gone.add(answered.assignment);
  outbox.add(answered.assignment, kind, body);
  ready = ready.filter((one) => one.assignment !== answered.assignment);
  if (kind === "judgements" && !back) desk.today += 1;
  if (back) { const to = back; back = null; seen = []; if (to.assignment) show(to); else start(); return; }
  task = form = null;
  if (answered.training && kind === "judgements") {
    taught = answered.assignment; // its feedback comes with the word that it is saved
    said = { ...answered, value: body.value };
    fill(place, h("p.dim.center", {}, t("label.moment")));
    return;
  }
  if (ready.length) next();
  else fill(place, h("p.dim.center", {}, t("label.coming")));
  refill();
}

/** Hold new items in the place of those answered: one round after another, so that none is shown twice. */
function refill() {
  filling = filling.then(refillOnce);
  return filling;
}

async function refillOnce() {
  await outbox.flush();
  try {
    const tally = desk;
    await lease();
    if (outbox.entries.length) desk.today = tally.today;
    if (!task && !taught) next();
  } catch (error) {
    if (task || taught) return;
    fill(place, h("section.card.narrow", {}, h("p", {}, t("label.waits", { fault: `${error.message[0].toUpperCase()}${error.message.slice(1)}` }))));
    setTimeout(refill, 4000);
  }
}

function send() {
  if (!form) return;
  const missing = form.missing();
  if (missing) { tell(missing); return; }
  done("judgements", { value: form.result(), seconds: worked() });
}

function skip() { if (task && !back) done("skip", { text: "" }); }

function report() {
  if (!task) return;
  if (back) { appeal(task.assignment, t("label.what_is_wrong")); return; } // it has an answer already, which stays
  askWhatIsWrong((text) => done("report", { text }));
}

async function previous() {
  try {
    await outbox.flush();
    const past = (await get(`/projects/${project}/mine`)).filter((one) => !seen.includes(one.id) && !outbox.holds(one.id));
    if (!past.length) { tell(t("label.no_further")); return; }
    back = back || task || {};
    seen.push(past[0].id);
    show(await get(`/assignments/${past[0].id}`));
  } catch (error) {
    tell(error.message);
  }
}

async function reopen(assignment) {
  try {
    back = task || {};
    show(await get(`/assignments/${assignment}`));
  } catch (error) {
    tell(error.message);
  }
}

function showFeedback(feedback) {
  const about = taught;
  const wrong = h("button", { type: "button", onclick: () => appeal(about, t("label.check_wrong"), () => wrong.remove()) }, t("label.check_wrong"));
  const go = h("button.primary", { type: "button", onclick: () => { taught = 0; refill(); } }, t("label.next"));
  form = null;
  const words = (value) => opinion(value, { ...desk.sheet, strength: 1 });
  fill(place, itemOf(said), h(`section.card.feedback.${feedback.agrees ? "right" : "wrong"}`, { role: "status" }, h("h2", {}, feedback.agrees ? `✓ ${t("label.right")}` : `✗ ${t("label.otherwise")}`),
    h("p", {}, t("label.your_answer", { said: words(said.value) }), h("br"), t("label.our_answer", { said: words(feedback.expected) })), feedback.explanation && h("p", { dir: "auto" }, feedback.explanation), h("p.dim", {}, t("label.training_free")), h("div.line.start", {}, go, wrong)));
  showRaw();
  go.focus();
}

const guidelines = () => { if (desk.guidelines.length) dialog(t("label.guidelines"), h("div.text", {}, ...fromTree(desk.guidelines))); };
const help = () => showHelp([["1 2 …", t("keys.set")], ["↑ ↓ ← →", t("keys.move")], ...(desk?.sheet.compare === "rank" ? [["0", t("keys.unrank")]] : []), ["Esc", t("keys.leave")]],
  (action) => !desk || (asks(desk.sheet, action) && (action !== "guidelines" || desk.guidelines.length > 0)));
function toggleRaw() { raw = !raw; showRaw(); }
function showRaw() {
  for (const one of place.querySelectorAll(".turn, .answer")) {
    one.querySelector(".as-meant").hidden = raw;
    one.querySelector(".raw").hidden = !raw;
  }
}

const verdict = (name) => () => { if (form && asks(form.sheet, name)) form.verdict(name); };
listen({
  send, skip, report, previous, guidelines, help, raw: toggleRaw, reason: () => form?.reason?.focus(),
  tie: verdict("tie"), both_good: verdict("both_good"), both_bad: verdict("both_bad"), cant_judge: verdict("cant_judge"),
  flags: () => form?.toFlags(),
}, (event) => form?.key(event));

setInterval(() => { if (task && !document.hidden && task.state === "leased") post(`/assignments/${task.assignment}/heartbeat`).catch(() => {}); }, 120000);
start();
settledOnes(project).then((note) => { if (note) place.before(note); }).catch(() => {});
remind(place);
