// The projects that one may see.
import { get } from "./api.js";
import { by, fill, h } from "./dom.js";
import { progress } from "./progress.js";

const place = by("projects");
const { review, label } = place.dataset;

function card(one) {
  const chat = one.sheet.chat !== "off";
  const counted = one.items !== null; // told to those who review
  return h("article.card", {}, h("h2", {}, one.name), one.about && h("p.dim", {}, one.about), one.warning && h("p.note", {}, one.warning), counted && progress(one),
    h("p.dim", {}, `${counted ? `${one.complete.toLocaleString()} of ${one.items.toLocaleString()} items complete · ` : ""}${one.mine.toLocaleString()} by you${one.open ? "" : " · closed"}`),
    h("div.actions", {}, label && h("a.button.primary", { href: `/projects/${one.id}/${chat ? "chat" : "label"}` }, chat ? "Chat" : "Label"), review && h("a.button", { href: `/projects/${one.id}` }, "Dashboard")));
}

get("/projects").then((projects) => {
  fill(place, ...(projects.length ? projects.map(card) : [h("p.dim", {}, review ? "No projects yet." : "You are in no project yet: ask whoever invited you.")]));
}).catch((error) => fill(place, h("p.fault", {}, error.message)));
