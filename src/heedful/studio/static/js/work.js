// What one has done oneself.
import { get } from "./api.js";
import { by, fill, h } from "./dom.js";
import { number, t } from "./words.js";

const place = by("work");
const OUTCOMES = { "": t("work.waits"), stands: t("appeal.stands"), wrong: t("work.were_right") };

/** Seconds as one says them. */
function time(seconds) {
  if (seconds < 90) return t("work.seconds", { n: Math.round(seconds) });
  const minutes = Math.round(seconds / 60);
  return minutes < 90 ? t("work.minutes", { n: minutes }) : t("work.hours", { hours: Math.floor(minutes / 60), minutes: minutes % 60 });
}

function card(one) {
  const row = (label, value) => h("tr", {}, h("th", { scope: "row" }, label), h("td", {}, value));
  return h("section.card", {}, h("h2", {}, one.name), h("table", {}, h("tbody", {},
    row(t("work.items"), t("work.items_week", { n: one.items, week: one.week })),
    row(t("work.time"), one.items ? t("work.time_each", { time: time(one.seconds), median: time(one.median) }) : time(one.seconds)),
    row(t("work.changed"), number(one.changed)),
    row(t("work.left"), t("work.left_free", { skipped: one.skipped, reported: one.reported })),
    one.training > 0 && row(t("work.training"), t("work.training_right", { right: one.training_right, n: one.training })))),
  one.appeals.length > 0 && [h("h3", {}, t("work.said")), h("ul", {}, one.appeals.map((said) => h("li", { dir: "auto" }, [t("appeal.answer", { text: said.text }), OUTCOMES[said.outcome], said.answer && t("appeal.answer", { text: said.answer })].filter(Boolean).join(" "))))]);
}

get("/me/work").then((projects) => fill(place, projects.length ? projects.map(card) : h("p.dim", {}, t("work.none"))))
  .catch((error) => fill(place, h("p.fault", { dir: "auto" }, error.message)));
