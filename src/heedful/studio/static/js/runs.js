// Runs: their stages, and the curves of one, drawn anew while it goes on.
import { get } from "./api.js";
import { by, fill, h } from "./dom.js";
import { plot } from "./plot.js";
import { when } from "./words.js";

const place = by("runs");
const EVERY = 3000;
let timer = 0;

async function list() {
  const runs = await get("/runs");
  fill(place, ...(runs.length ? runs.map(card) : [h("p.dim", {}, "No runs yet: 'heedful run demo' makes one. Start the studio with --runs FOLDER if they lie elsewhere.")]));
}

function card(run) {
  const minutes = (stage) => (stage.complete ? `${(stage.seconds / 60).toFixed(1)} min` : "not complete");
  const stages = run.stages.map((stage) => h("tr", {}, h("td", {}, `${stage.complete ? "✓" : "…"} ${stage.name}`), h("td", {}, minutes(stage)),
    h("td", {}, stage.metrics && h("button", { type: "button", "aria-expanded": "false", onclick: (event) => open(run.name, stage.name, event.currentTarget) }, "Curves"))));
  return h("section.card", {}, h("div.heading", {}, h("h2", {}, run.name), run.report && h("a.button", { href: `/api/runs/${encodeURIComponent(run.name)}/report`, target: "_blank" }, "Report")),
    h("p.dim", {}, `changed ${when(run.changed_at)}`), h("div.scroll", {}, h("table", {}, h("tbody", {}, stages))));
}

/** A stage's curves right below its row, one stage's at a time; a second click closes them. */
function open(run, stage, button) {
  clearTimeout(timer);
  const close = button.getAttribute("aria-expanded") === "true";
  for (const row of place.querySelectorAll(".curves")) row.remove();
  for (const other of place.querySelectorAll("[aria-expanded]")) other.setAttribute("aria-expanded", "false");
  if (close) return;
  const curves = h("div.plots", { role: "group", "aria-label": `Curves of ${stage}` }, h("p.dim", {}, "Loading …"));
  button.setAttribute("aria-expanded", "true");
  button.closest("tr").after(h("tr.curves", {}, h("td", { colspan: 3 }, curves)));
  watch(run, stage, curves);
}

async function watch(run, stage, curves) {
  try {
    const found = await get(`/runs/${encodeURIComponent(run)}/stages/${encodeURIComponent(stage)}/metrics`);
    const names = Object.keys(found.curves).sort();
    curves.replaceChildren(...names.map((name) => plot(name, found.curves[name])));
    if (!found.complete && curves.isConnected) timer = setTimeout(() => watch(run, stage, curves), EVERY);
  } catch (error) {
    curves.replaceChildren(h("p.fault", {}, error.message));
  }
}

list().catch((error) => fill(place, h("p.fault", {}, error.message)));
