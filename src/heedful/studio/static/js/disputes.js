// Second looks: an item on which raters disagree, first as any rater sees it, then what they said, then the decision.
import { get } from "./api.js";
import { coverOf } from "./cover.js";
import { changes } from "./diff.js";
import { asked, by, fill, h, tell } from "./dom.js";
import { hint, listen, showHelp } from "./keys.js";
import { draftOf, keepDraft, Outbox } from "./outbox.js";
import { LETTERS, opinion } from "./said.js";
import { asks, SheetForm } from "./sheet.js";
import { t } from "./words.js";

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
    tell(t("label.refused", { fault: sentence }));
  },
  onSaved: (entry) => {
    if (entry.kind !== "decision") return;
    tell(t("dispute.kept"));
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
    fill(place, h("section.card.narrow", {}, h("p", { dir: "auto" }, error.message), h("button", { type: "button", onclick: () => load(after) }, t("label.try_again"))));
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
  form.last.prepend(h("button", { type: "button", onclick: later }, t("dispute.later"), hint("skip")));
  form.last.append(h("button.primary.send", { type: "button", onclick: send }, t("dispute.decide"), hint("send")));
  const count = [t("dispute.waiting", { n: found.waiting }), found.decided > 0 && t("dispute.decided", { n: found.decided })].filter(Boolean).join(" · ");
  fill(place, h("div.desk-bar", {}, h("a", { href: `/projects/${project}` }, name), h("span", {}, count), h("span.space"),
    h("button.quiet", { type: "button", onclick: help }, t("label.keys"), hint("help"))),
    h("div.sheet", {}, h("section.prompt", { "aria-label": t("item.prompt") }, asked(one)), opinions(one.said), form.body), form.panel);
  scrollTo(0, 0);
}

/** Closed at first, so that one looks at the answers before one looks at what was said of them. */
function opinions(said) {
  const humans = said.filter((one) => one.by === "person").length;
  const [people, machines] = [t("dispute.people", { n: humans }), t("dispute.machines", { n: said.length - humans })];
  const who = !humans ? machines : humans === said.length ? people : t("dispute.both", { people, machines });
  return h("details.note.prompt.opinions", {}, h("summary", {}, t("dispute.what", { who })),
    h("ul", {}, said.map((one) => h("li", {}, h("b", {}, one.by === "person" ? t("dispute.person") : t("dispute.machine")), " ", opinion(one.value, found.sheet), one.value.reason && h("span.dim", {}, ` ${t("dispute.reason", { reason: one.value.reason })}`), edit(one.value)))));
}

/** What a rater made of an answer, beside it; without the answer's number the whole text is new. */
function edit(value) {
  if (!value.edited) return null;
  const from = found.task.answers[value.edited_from];
  return [h("div.dim", {}, !from ? t("dispute.wrote") : found.task.answers.length > 1 ? t("dispute.edited", { letter: LETTERS[value.edited_from] }) : t("dispute.edited_it")), changes(from?.text || "", value.edited, found.task)];
}

function nothing() {
  form = null;
  const own = found.waiting ? t("dispute.own", { n: found.waiting }) : t("dispute.about");
  fill(place, h("section.card.narrow", { "data-finished": "yes" }, h("h2", {}, t("dispute.nothing")), h("p", {}, own),
    found.decided > 0 && h("p.dim", {}, t("dispute.so_far", { n: found.decided })),
    h("div.line", {}, h("button", { type: "button", onclick: () => load() }, t("label.look_again")), h("a.button", { href: `/projects/${project}` }, t("home.dashboard")))));
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
  fill(place, h("section.card.narrow", {}, h("h2", {}, t("dispute.on_its_way")), h("p", {}, t("dispute.waits_here")), h("button", { type: "button", onclick: () => load() }, t("label.look_again"))));
}

function later() { if (found?.task) load(found.task.item); }
const help = () => showHelp([["1 2 …", t("keys.set")], ["↑ ↓ ← →", t("keys.move")], ["Esc", t("keys.leave")]], (action) => !found || asks(found.sheet, action));
const verdict = (kind) => () => { if (form && asks(form.sheet, kind)) form.verdict(kind); };
listen({
  send, skip: later, help, reason: () => form?.reason?.focus(),
  tie: verdict("tie"), both_good: verdict("both_good"), both_bad: verdict("both_bad"), cant_judge: verdict("cant_judge"),
  flags: () => form?.toFlags(),
}, (event) => form?.key(event));
outbox.flush().then(() => load());
