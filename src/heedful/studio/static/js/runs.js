// Runs: their stages, and the curves of one, drawn anew while it goes on.
import { get } from "./api.js";
import { by, fill, h, when } from "./dom.js";
import { plot } from "./plot.js";

const place = by("runs");
const EVERY = 3000;
let timer = 0;

async function list() {
  const runs = await get("/runs");
  fill(place, ...(runs.length ? runs.map(card) : [h("p.dim", {}, "No runs yet: 'heedful run demo' makes one. Start the studio with --runs FOLDER if they lie elsewhere.")]));
}

function card(run) {
  const curves = h("div.plots");
  const minutes = (stage) => (stage.complete ? `${(stage.seconds / 60).toFixed(1)} min` : "not complete");
  const stages = run.stages.map((stage) => h("tr", {}, h("td", {}, `${stage.complete ? "✓" : "…"} ${stage.name}`), h("td", {}, minutes(stage)),
    h("td", {}, stage.metrics && h("button", { type: "button", onclick: () => watch(run.name, stage.name, curves) }, "Curves"))));
  return h("section.card", {}, h("div.heading", {}, h("h2", {}, run.name), run.report && h("a.button", { href: `/api/runs/${encodeURIComponent(run.name)}/report`, target: "_blank" }, "Report")),
    h("p.dim", {}, `changed ${when(run.changed_at)}`), h("div.scroll", {}, h("table", {}, h("tbody", {}, stages))), curves);
}

async function watch(run, stage, curves) {
  clearTimeout(timer);
  for (const other of place.querySelectorAll(".plots")) if (other !== curves) other.replaceChildren();
  try {
    const found = await get(`/runs/${encodeURIComponent(run)}/stages/${encodeURIComponent(stage)}/metrics`);
    const names = Object.keys(found.curves).sort();
    curves.replaceChildren(...names.map((name) => plot(name, found.curves[name])));
    if (!found.complete) timer = setTimeout(() => watch(run, stage, curves), EVERY);
  } catch (error) {
    curves.replaceChildren(h("p.fault", {}, error.message));
  }
}

list().catch((error) => fill(place, h("p.fault", {}, error.message)));
