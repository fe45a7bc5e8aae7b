// What one has done oneself.
import { get } from "./api.js";
import { by, fill, h } from "./dom.js";

const place = by("work");
const OUTCOMES = { "": "It waits to be looked at.", stands: "It was looked at again, and it stays as it is.", wrong: "You were right." };

/** Seconds as one says them. */
function time(seconds) {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 90 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

function card(one) {
  const row = (label, value) => h("tr", {}, h("th", { scope: "row" }, label), h("td", {}, value));
  return h("section.card", {}, h("h2", {}, one.name), h("table", {}, h("tbody", {},
    row("Items answered", `${one.items.toLocaleString()}, ${one.week.toLocaleString()} in the last seven days`),
    row("Time at work", `${time(one.seconds)}${one.items ? `; half of the items took at most ${time(one.median)} each` : ""}`),
    row("Changed afterwards", one.changed.toLocaleString()),
    row("Skipped, reported", `${one.skipped.toLocaleString()}, ${one.reported.toLocaleString()}: they cost nothing`),
    one.training > 0 && row("Training items", `${one.training_right.toLocaleString()} of ${one.training.toLocaleString()} as expected`))),
  one.appeals.length > 0 && [h("h3", {}, "What you said of items"), h("ul", {}, one.appeals.map((said) => h("li", { dir: "auto" }, `“${said.text}” ${OUTCOMES[said.outcome]}`, said.answer && ` “${said.answer}”`)))]);
}

get("/me/work").then((projects) => fill(place, projects.length ? projects.map(card) : h("p.dim", {}, "Nothing yet: what you answer is counted here.")))
  .catch((error) => fill(place, h("p.fault", {}, error.message)));
