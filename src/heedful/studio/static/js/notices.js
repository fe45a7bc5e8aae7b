// What raters wrote on items that they skipped or reported, settled on the dashboard.
import { get, post } from "./api.js";
import { h, tell } from "./dom.js";
import { PARTS, theItem } from "./settling.js";
import { when } from "./words.js";

/** The dashboard's card of those that wait; null where none does. */
export async function notices(project, redraw) {
  const { count, waiting } = await get(`/projects/${project}/notices`);
  if (!count) return null;
  return h("section.card", {}, h("h2", {}, `What raters reported (${count.toLocaleString()})`), count > waiting.length && h("p.dim", {}, `The oldest ${waiting.length}; settle some to see the others.`), waiting.map((one) => card(project, one, redraw)));
}

function card(project, one, redraw) {
  const settle = (outcome, said) => post(`/projects/${project}/notices/${one.id}`, { outcome }).then(() => { tell(said); return redraw(); }).catch((error) => tell(error.message));
  return h("div.form.appeal", {}, h("p", {}, `${one.rater} ${one.kind} ${PARTS[one.part] || "an item"}, number ${one.item}: “${one.text}” `, h("span.dim", {}, when(one.at))),
    theItem(one),
    h("div.line.start", {}, h("button", { type: "button", onclick: () => settle("settled", "Put away. The item is asked as before.") }, "Settled"),
      h("button", { type: "button", onclick: () => settle("out", "Taken out. Nobody gets it any more; what was said of it stays.") }, "Take the item out")));
}
