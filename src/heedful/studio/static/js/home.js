// The projects that one may see.
import { get } from "./api.js";
import { by, fill, h } from "./dom.js";
import { progress, progressed } from "./progress.js";
import { t } from "./words.js";

const place = by("projects");
const { review, label } = place.dataset;

function card(one) {
  const chat = one.sheet.chat !== "off";
  const counted = one.items !== null; // told to those who review
  return h("article.card", {}, h("h2", {}, one.name), one.about && h("p.dim", { dir: "auto" }, one.about), one.warning && h("p.note", { dir: "auto" }, one.warning), counted && progress(one),
    h("p.dim", {}, [counted && progressed(one), t("home.mine", { n: one.mine }), !counted && one.in_all > 0 && t("home.shared", { n: one.in_all }), !one.open && t("home.closed")].filter(Boolean).join(" · ")),
    h("div.actions", {}, label && h("a.button.primary", { href: `/projects/${one.id}/${chat ? "chat" : "label"}` }, chat ? t("home.chat") : t("home.label")), review && h("a.button", { href: `/projects/${one.id}` }, t("home.dashboard"))));
}

get("/projects").then((projects) => {
  fill(place, ...(projects.length ? projects.map(card) : [h("p.dim", {}, review ? t("home.none") : t("home.none_yours"))]));
}).catch((error) => fill(place, h("p.fault", {}, error.message)));
