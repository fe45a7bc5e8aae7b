// The dashboard of a project: how far it is, who did what, and what may be wrong.
import { get, onSubmit, patch, post, put, remove, upload } from "./api.js";
import { auditOf, BY_AGREEMENT, followAudit, numbersOf } from "./queue.js";
import { by, fill, h, percent, stacking, tell } from "./dom.js";
import { graded } from "./graded.js";
import { range, trusted } from "./trust.js";
import { notices } from "./notices.js";
import { progress } from "./progress.js";
import { waitingOnes } from "./settling.js";
import { webhooks } from "./webhooks.js";
import { when } from "./words.js";

const place = by("project");
const id = place.dataset.id;
const manages = Boolean(place.dataset.manage);
const figure = (value, label) => h("div.figure", {}, h("b", {}, value), h("span", {}, label));
const TOO_FEW = 20;

async function draw() {
  const [one, counted, noticed, appealed, team, everyone] = await Promise.all([
    get(`/projects/${id}`), get(`/projects/${id}/figures`), notices(id, draw), waitingOnes(id, draw),
    manages ? get(`/projects/${id}/members`) : [], manages ? get("/accounts") : [],
  ]);
  const names = Object.fromEntries(counted.raters.map((one) => [one.rater, one.name]));
  const agreement = h("section.card", {}, h("h2", {}, "Do raters agree?"), h("div.row", {}, h("button", { type: "button", onclick: () => agree(agreement, names, false) }, "Count it"), h("button", { type: "button", onclick: () => agree(agreement, names, true) }, "Only items in random places")),
    h("p.hint", {}, "Where a rule orders the queue, items in random places speak for the whole."));
  const people = counted.raters.filter((rater) => rater.kind === "human");
  by("second-looks").textContent = one.to_decide ? `Second looks (${one.to_decide.toLocaleString()})` : "Second looks";
  fill(place, 
    h("div.figures", {}, figure(one.items.toLocaleString(), "items"), figure(one.complete.toLocaleString(), "complete"), figure(one.waiting.toLocaleString(), "waiting for raters"), one.to_decide > 0 && figure(one.to_decide.toLocaleString(), "to decide: a second look, or another rater"),
      figure(people.reduce((sum, rater) => sum + rater.done, 0).toLocaleString(), "judgements by people"), figure(`${one.gold} + ${one.training}${one.probes ? ` + ${one.probes}` : ""}`, `hidden checks + training items${one.probes ? " + probes" : ""}`)),
    progress(one), Object.keys(one.lacking).length > 0 && h("p.note", {}, `Nobody here carries the skill for some items: ${Object.entries(one.lacking).map(([skill, n]) => `${skill} (${n.toLocaleString()})`).join(", ")}. Give it to raters on the Team page.`), imported(), noticed, appealed, h("section.card", {}, h("h2", {}, "Raters"), raters(counted.raters)),
    h("section.card", {}, h("h2", {}, "Does the side of the screen draw answers?"), side(counted.side), verdicts(counted.verdicts)),
    agreement, drift(), manages && named(), h("section.card", {}, h("h2", {}, "In and out"), inAndOut(one)),
    manages && h("section.card", {}, h("h2", {}, "Who may work here"), members(team, everyone)),
    manages && h("section.card", {}, h("h2", {}, "Settings"), settings(one)),
    place.dataset.own && webhooks(id));
}

/** Alarms of raters who judge otherwise than they began; counted apart, since the dashboard need not wait for it. */
function drift() {
  const card = h("section.card", {}, h("h2", {}, "Does anyone judge otherwise than at first?"), h("p.dim", {}, "Counting …"));
  get(`/projects/${id}/drift`).then((rows) => fill(card, h("h2", {}, "Does anyone judge otherwise than at first?"), drifted(rows))).catch((error) => fill(card, h("p.fault", {}, error.message)));
  return card;
}

/** Answers that name their model or maker: a rater who reads one is no longer blind. */
function named() {
  const card = h("section.card", {}, h("h2", {}, "Does an answer say who wrote it?"), h("p.dim", {}, "Counting …"));
  const cells = (leak) => [leak.said, leak.source, leak.prompt, leak.items.join(", ")];
  get(`/projects/${id}/leaks`).then((found) => fill(card, h("h2", {}, "Does an answer say who wrote it?"),
    h("p", {}, found.leaking ? `${found.leaking.toLocaleString()} of ${found.answers.toLocaleString()} answers do. Raters see them as they are; rankings can leave their items out.` : "None was found."),
    found.leaking > 0 && h("div.row", {}, h("a.button", { href: `/api/projects/${id}/export?kind=rankings&without_leaks=true`, download: true }, "Rankings without them")),
    found.leaking > 0 && h("details", {}, h("summary", {}, found.first.length < found.leaking ? `The first ${found.first.length}` : "All of them"), stacking(["words", "source", "prompt", "items"], found.first.map(cells))))).catch((error) => fill(card, h("p.fault", {}, error.message)));
  return card;
}

function drifted(rows) {
  if (!rows.length) return h("p.dim", {}, "Nobody has answered probes or hidden checks yet: import some rows with part = probe or gold.");
  const said = (one) => [h("b", {}, one.name ? `${one.name} (${one.rater})` : one.rater), ` ${one.sentence}`, one.at > 0 && ` (${when(one.since)}, seen ${when(one.at)})`];
  const alarms = rows.filter((one) => one.at > 0);
  const often = Math.round(Math.min(...rows.map((one) => one.steady)) / 100) * 100;
  const lasts = [Math.min, Math.max].map((end) => Math.round(end(...rows.map((one) => one.drifted))));
  const within = [...new Set(lasts)].join(" to ");
  return [alarms.length > 0 ? h("ul", {}, alarms.map((one) => h(one.over ? "li" : "li.fault", {}, said(one)))) : h("p", {}, "No alarm."),
    h("details", {}, h("summary", {}, "Everyone"), h("ul", {}, rows.map((one) => h("li", {}, said(one))))),
    h("p.dim", {}, `A rater who judges as before sets off an alarm once in ${often.toLocaleString()} checks or less often; one whose odds of missing have tripled within ${within} on average. An alarm asks for a talk, not for a ban.`)];
}

async function agree(card, names, byChance) {
  const about = byChance && h("p.dim", {}, "Of items in random places alone.");
  fill(card, h("h2", {}, "Do raters agree?"), h("p.dim", {}, "Counting …"));
  const found = await get(`/projects/${id}/agreement?by_chance=${byChance}`).catch((error) => ({ fault: error.message }));
  const shares = await get(`/projects/${id}/routes`).catch(() => []);
  if (!found.agreement?.length || found.overlapping < TOO_FEW) {
    const few = `Not enough data: ${found.overlapping || 0} pairs of answers were judged by two raters or more, and a statement needs ${TOO_FEW}.`;
    const alone = found.grades?.length > 0 && !found.overlapping; // raters of single answers compare nothing
    fill(card, h("h2", {}, "Do raters agree?"), about, !alone && h("p.dim", {}, found.fault || few), consistency(found.consistency || []), seen(shares), graded(found));
    return;
  }
  const number = (value) => (value === null ? "–" : value.toFixed(2));
  const row = (one) => h("tr", {}, h("td", {}, one.name), h("td", {}, `${number(one.value.mean)} [${number(one.value.low)}, ${number(one.value.high)}]`), h("td", {}, one.n));
  fill(card, h("h2", {}, "Do raters agree?"), about, h("div.scroll", {}, h("table", {}, h("thead", {}, h("tr", {}, ["statistic", "value and 95 % interval", "n"].map((name) => h("th", { scope: "col" }, name)))), h("tbody", {}, found.agreement.map(row)))),
    h("p.dim", {}, `Published, for comparison: ${found.published.map((one) => `${one.name} ${percent(one.agreement)}`).join(" · ")}`),
    found.findings.length > 0 && h("ul", {}, found.findings.map((one) => h("li", {}, one.sentence))),
    trusted(found, names),
    machines(found.machines), consistency(found.consistency), seen(shares),
    graded(found));
}

/** Where machines label too: the share of their items that people see where the queue audits by agreement. */
function seen(shares) {
  if (!shares.length) return null;
  const said = (one) => (one.items < TOO_FEW ? `not enough data (${one.items})` : `${percent(one.agreement)} [${percent(one.low)}, ${percent(one.high)}] of ${one.items.toLocaleString()}`);
  return [h("h3", {}, "How much of a machine's work do people see?"), h("p.dim", {}, "Where audit is by agreement: all of it until a machine agrees with people often enough on that kind of prompt, and never less than one in ten."),
    stacking(["prompts", "judge", "agrees with people", "people see"], shares.map((one) => [one.stratum || "–", one.judge, said(one), percent(one.share)]))];
}

/** Each judge's agreement with people beside people's own, one kind of prompt after another. */
function machines(rows) {
  if (!rows.length) return null;
  const said = (one) => (one.n < TOO_FEW ? "not enough data" : `${percent(one.agreement.mean)}${one.agreement.low === null ? "" : ` [${percent(one.agreement.low)}, ${percent(one.agreement.high)}]`}`);
  return [h("h3", {}, "Do machines agree with people?"), stacking(["prompts", "judge", "agrees with people", "pairs"],
    rows.map((one) => [one.stratum, one.judge === "people" ? "people among themselves" : one.judge, said(one), one.n]))];
}

/** Whether a judge that was asked several times said the same: with the answers the other way round, and once more. */
function consistency(rows) {
  if (!rows.length) return null;
  const said = (one) => (one.n < TOO_FEW ? `not enough data (${one.n})` : `${percent(one.share)} [${percent(one.low)}, ${percent(one.high)}] of ${one.n.toLocaleString()}`);
  return [h("h3", {}, "Do machines agree with themselves?"), stacking(["judge", "the same in both orders", "the same when asked again", "where the place decided, it took the first shown"],
    rows.map((one) => [one.judge, said(one.orders), said(one.again), said(one.first)]))];
}

function imported() {
  const kept = sessionStorage.getItem(`heedful.import.${id}`);
  if (!kept) return null;
  sessionStorage.removeItem(`heedful.import.${id}`);
  return importReport(JSON.parse(kept));
}

function importReport(report) {
  return h("div.note", { role: "status" }, h("p", {}, `${report.items.toLocaleString()} new items, ${report.there_already.toLocaleString()} there already, ${report.fault_count.toLocaleString()} rows at fault.`),
    report.nameless > 0 && h("p", {}, `${report.nameless.toLocaleString()} judgements name no rater, and were left out: heedful studio import … --rater NAME keeps them under a name.`),
    report.leaks > 0 && h("p", {}, `${report.leaks.toLocaleString()} answers name who wrote them: see below.`),
    report.faults.length > 0 && h("ul", {}, report.faults.slice(0, 20).map((fault) => h("li", {}, fault))));
}

function raters(rows) {
  if (!rows.length) return h("p.dim", {}, "Nobody has judged anything yet.");
  const share = (part, whole, interval) => (whole ? `${percent(part / whole)} ${range(interval)} of ${whole.toLocaleString()}` : "–");
  const head = ["rater", "kind", "done", "skipped", "reported", "checks right", "training right", "took the first shown"];
  return [stacking(head, rows.map((one) => [one.name ? `${one.name} (${one.rater})` : one.rater, one.kind, one.done, one.skipped, one.reported, share(one.gold_right, one.gold, one.gold_interval), share(one.training_right, one.training, one.training_interval), share(one.first, one.decided, one.first_interval)])),
    h("p.dim", {}, "In brackets: 95 % intervals.")];
}

function side(test) {
  if (test.n < TOO_FEW) return h("p.dim", {}, `Not enough data: ${test.n} decided pairs, and a statement needs ${TOO_FEW}.`);
  const said = test.p < 0.01 ? "That is more than chance: look whether raters read both." : "That is what chance gives.";
  return h("p", {}, `The answer shown first won ${percent(test.share)} ${range(test.interval)} of ${test.n.toLocaleString()} decided pairs (p = ${test.p < 0.001 ? "< 0.001" : test.p.toFixed(3)}). ${said}`);
}

function verdicts(counts) {
  const rows = Object.entries(counts).filter(([name]) => name);
  const words = { prefer: "one is better", tie: "equally good", ranked: "ranked", none: "rated alone", cant_judge: "can't judge" };
  return rows.length > 0 && h("p.dim", {}, `What people said, checks left out: ${rows.map(([name, n]) => `${words[name] || name.replaceAll("_", " ")} ${n.toLocaleString()}`).join(" · ")}`);
}

function inAndOut(one) {
  const link = (kind, label) => h("a.button", { href: `/api/projects/${id}/export?kind=${kind}`, download: true }, label);
  const take = link("trl", "Download");
  const format = h("select", { "aria-label": "Another format", onchange: () => { take.href = `/api/projects/${id}/export?kind=${format.value}`; } }, place.dataset.formats.split(" ").map((name) => h("option", { value: name, selected: name === "trl" }, name)));
  const input = h("input", { type: "file", name: "file", accept: ".jsonl,.json,.csv,.tsv,.parquet,.gz", required: true, "aria-label": "A file of items" });
  const form = h("form.form.row", {}, h("label", {}, "Add items", input), h("button", { type: "submit" }, "Import"), h("p.fault", { role: "alert" }));
  onSubmit(form, async (data) => {
    const file = data.get("file");
    form.after(importReport(await upload(`/projects/${id}/import?name=${encodeURIComponent(file.name)}`, file)));
  });
  const rule = h("select", { "aria-label": "Which items come first" }, [["random", "at random"], ["interval", "where an interval narrows most"], ["ensemble", "where reward models differ"], ["disagreement", "where raters or machines differ"]].map(([value, label]) => h("option", { value }, label)));
  const order = h("button", { type: "button", onclick: () => post(`/projects/${id}/order`, { rule: rule.value }).then((placed) => tell(`Placed: ${Object.entries(placed).map(([why, n]) => `${n} ${why}`).join(", ") || "nothing waits"}`)).catch((error) => tell(error.message)) }, "Order the queue");
  return h("div.form", {}, h("div.row", {}, link("rankings", "Rankings"), link("demonstrations", "Demonstrations"), link("raw", "Raw log")),
    h("div.row", {}, h("label", {}, "Another format", format), take),
    manages && one.sheet.chat === "off" && form, manages && one.sheet.chat === "off" && h("div.row", {}, h("label", {}, "Which items come first", rule), order));
}

function members(team, everyone) {
  const inside = new Set(team.map((one) => one.id));
  const others = everyone.filter((one) => one.active && !inside.has(one.id) && !["owner", "manager"].includes(one.role));
  const select = h("select", { "aria-label": "Someone to let in" }, others.map((one) => h("option", { value: one.id }, `${one.name} (${one.role})`)));
  const rows = team.map((one) => h("tr", {}, h("td", {}, one.name), h("td", {}, one.role), h("td", {}, h("button", { type: "button", onclick: () => remove(`/projects/${id}/members/${one.id}`).then(draw) }, "Take out"))));
  return h("div.form", {}, h("p.dim", {}, "Owners and managers see every project; raters and reviewers those that they are in."), rows.length > 0 && h("table", {}, h("tbody", {}, rows)),
    others.length > 0 ? h("div.row", {}, h("label", {}, "Let in", select), h("button", { type: "button", onclick: () => put(`/projects/${id}/members/${select.value}`).then(draw) }, "Add")) : h("p.dim", {}, "Nobody else to let in: invite people on the Team page."));
}

function settings(one) {
  const number = (name, label, step = "any") => h("label", {}, label, h("input", { name, type: "number", step, value: one.queue[name] }));
  const choice = (name, label, options, chosen) => h("label", {}, label, h("select", { name }, options.map(([value, text]) => h("option", { value, selected: value === chosen }, text))));
  const form = h("form.form", {}, h("label", {}, "Guidelines", h("textarea", { name: "guidelines", rows: 6 }, one.guidelines)), h("label", {}, "Warning of what raters will see", h("input", { name: "warning", maxlength: 2000, value: one.warning })),
    h("div.row", {}, number("overlap", "Raters for each new item", 1), number("overlap_most", "At most, where they disagree", 1), number("gold", "Share of hidden checks"), number("training", "Training items first", 1), number("qualify", "Share of them right before real items (0: not asked)"), number("probe", "Share of probes"), number("lease_minutes", "Minutes an item is held")),
    h("details", {}, h("summary", {}, "More"), h("div.row", {}, number("shared", "Share of new items that several see"), number("shared_overlap", "Raters for each of these", 1), number("random", "Share that keeps a random place"), number("hourly", "Most answers of a rater an hour (0: no limit)", 1), number("revise_hours", "Hours in which an answer may be changed"),
      choice("audited", "What people see of machines' items", [["share", "a share"], [BY_AGREEMENT, "by agreement"]], one.queue.audit === BY_AGREEMENT ? BY_AGREEMENT : "share"), number("audit", "Share of machine-labelled items that people see"))),
    choice("suggestions", "Machine labels", [["hidden", "hidden from raters"], ["shown", "shown (draws answers towards them)"]], one.queue.suggestions),
    choice("open", "State", [["yes", "open"], ["no", "closed"]], one.open ? "yes" : "no"),
    h("p.fault", { role: "alert" }), h("button", { type: "submit" }, "Keep these"));
  followAudit(form);
  onSubmit(form, async (data) => {
    const queue = { ...numbersOf(form, data), ...auditOf(data), suggestions: data.get("suggestions") };
    await patch(`/projects/${id}`, { guidelines: data.get("guidelines"), warning: data.get("warning"), queue, open: data.get("open") === "yes" });
    tell("Kept.");
    await draw();
  });
  return form;
}

draw().catch((error) => fill(place, h("p.fault", {}, error.message)));
