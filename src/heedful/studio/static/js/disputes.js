// Second looks: an item on which raters disagree, first as any rater sees it, then what they said, then the decision.
import { get } from "./api.js";
import { coverOf } from "./cover.js";
import { changes } from "./diff.js";
import { asked, by, fill, h, tell } from "./dom.js";
import { hint, listen, showHelp } from "./keys.js";
import { draftOf, keepDraft, Outbox } from "./outbox.js";
import { opinion } from "./said.js";
import { LETTERS, SheetForm } from "./sheet.js";

const place = by("disputes");
const { project, name } = place.dataset;
let form = null;
let found = null;
let looked = 0;
let refused = false; // the decision just sent

const keyOf = (one) => `decision ${project}.${one.item}`;
const outbox = new Outbox({
  onState(state, sentence) {
    by("saved").textContent = sentence;
    by("saved").dataset.state = state;
    if (state !== "refused") return;
    refused = true;
    tell(`${sentence} What you filled in is kept.`);
  },
  onSaved: (entry) => {
    if (entry.kind !== "decision") return;
    tell("Decided. The raters' own labels are kept beside it.");
    if (!form) load();
  },
});

async function load(after = 0) {
  try {
    found = await get(`/projects/${project}/disputes?after=${after}`);
    if (!found.task && found.unseen && looked < 500) { looked += 1; await load(after); return; }
    looked = 0;
    show();
  } catch (error) {
    form = null;
    fill(place, h("section.card.narrow", {}, h("p", {}, error.message), h("button", { type: "button", onclick: () => load(after) }, "Try again")));
  }
}

function show() {
  const one = found.task;
  if (!one) { nothing(); return; }
  form = null;
  if (outbox.holds(keyOf(one))) { waits(); return; }
  const cover = coverOf(place.dataset, `item ${one.item}`, one.warning, show, later);
  if (cover) { fill(place, cover); return; }
  form = new SheetForm(found.sheet, { ...one, filled_in: draftOf(keyOf(one)) || {} }, (value) => keepDraft(keyOf(one), value));
  form.last.prepend(h("button", { type: "button", onclick: later }, "Later", hint("skip")));
  form.last.append(h("button.primary.send", { type: "button", onclick: send }, "Decide", hint("send")));
  const count = `${found.waiting.toLocaleString()} to decide${found.decided ? ` · ${found.decided.toLocaleString()} decided` : ""}`;
  fill(place, h("div.desk-bar", {}, h("a", { href: `/projects/${project}` }, name), h("span", {}, count), h("span.space"),
    h("button.quiet", { type: "button", onclick: help }, "Keys", hint("help"))),
    h("div.sheet", {}, h("section.prompt", { "aria-label": "What was asked" }, asked(one)), opinions(one.said), form.body), form.panel);
  scrollTo(0, 0);
}

/** Closed at first, so that one looks at the answers before one looks at what was said of them. */
function opinions(said) {
  const people = said.filter((one) => one.by === "person").length;
  const who = [people && `${people} ${people === 1 ? "person" : "people"}`, said.length > people && `${said.length - people} ${said.length - people === 1 ? "machine" : "machines"}`].filter(Boolean).join(" and ");
  return h("details.note.prompt.opinions", {}, h("summary", {}, `What ${who} said`),
    h("ul", {}, said.map((one) => h("li", {}, h("b", {}, one.by === "person" ? "A person: " : "A machine: "), opinion(one.value, found.sheet), one.value.reason && h("span.dim", {}, ` – “${one.value.reason}”`), edit(one.value)))));
}

/** What a rater made of an answer, beside it; without the answer's number the whole text is new. */
function edit(value) {
  if (!value.edited) return null;
  const from = found.task.answers[value.edited_from];
  return [h("div.dim", {}, from ? `and edited ${found.task.answers.length > 1 ? LETTERS[value.edited_from] : "it"}:` : "and wrote:"), changes(from?.text || "", value.edited, found.task)];
}

function nothing() {
  form = null;
  const own = found.waiting ? `${found.waiting.toLocaleString()} wait, but you have judged each of them yourself: another reviewer decides those.` : "Where all raters of an item have answered and still disagree, it comes here.";
  fill(place, h("section.card.narrow", { "data-finished": "yes" }, h("h2", {}, "Nothing for you to decide"), h("p", {}, own),
    found.decided > 0 && h("p.dim", {}, `${found.decided.toLocaleString()} decided so far.`),
    h("div.line", {}, h("button", { type: "button", onclick: () => load() }, "Look again"), h("a.button", { href: `/projects/${project}` }, "Dashboard"))));
}

async function send() {
  if (!form) return;
  const missing = form.missing();
  if (missing) { tell(missing); return; }
  const one = found.task;
  refused = false;
  outbox.add(keyOf(one), "decision", { value: form.result() }, `/projects/${project}/items/${one.item}/decision`);
  await outbox.flush();
  await load(refused ? one.item - 1 : one.item); // the same one again, or the next
}

function waits() {
  fill(place, h("section.card.narrow", {}, h("h2", {}, "Your decision is on its way"), h("p", {}, "It waits in this browser until the studio has it."), h("button", { type: "button", onclick: () => load() }, "Look again")));
}

function later() { if (found?.task) load(found.task.item); }
const help = () => showHelp([["1 2 …", "set what is marked, from left to right"], ["↑ ↓ ← →", "move"], ["Esc", "leave a text field"]]);
const verdict = (kind) => () => { if (form?.allows(kind)) form.verdict(kind); };
listen({
  send, skip: later, help, reason: () => form?.reason?.focus(),
  tie: verdict("tie"), both_good: verdict("both_good"), both_bad: verdict("both_bad"), cant_judge: verdict("cant_judge"),
  flags: () => form?.toFlags(),
}, (event) => form?.key(event));
outbox.flush().then(() => load());
