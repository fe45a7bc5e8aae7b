// Appeals as a rater makes them, and learns what became of them.
import { get, post } from "./api.js";
import { h, tell } from "./dom.js";
import { dialog } from "./keys.js";
import { t } from "./words.js";

const SEEN = "heedful.appeals.seen";

/** Ask what is wrong with an item that has an answer; onMade() once it is kept. */
export function appeal(assignment, title, onMade) {
  const area = h("textarea", { rows: 3, maxlength: 2000, "aria-label": t("appeal.about") });
  const fault = h("p.fault", { role: "alert", dir: "auto" });
  const send = async () => {
    if (!area.value.trim()) { area.focus(); return; }
    try {
      await post(`/assignments/${assignment}/appeal`, { text: area.value });
      box.close();
      tell(t("appeal.sent"));
      onMade?.();
    } catch (error) {
      fault.textContent = error.message;
    }
  };
  const box = dialog(title, h("div.form", {}, area, fault, h("button.primary", { type: "button", onclick: send }, t("appeal.send"))));
  area.focus();
}

/** What became of the rater's own appeals, each told once in this browser. */
export async function settledOnes(project) {
  const seen = JSON.parse(localStorage.getItem(SEEN) || "[]");
  const news = (await get(`/projects/${project}/my-appeals`)).filter((one) => one.outcome && !seen.includes(one.id));
  if (!news.length) return null;
  const words = { stands: t("appeal.stands"), wrong: t("appeal.wrong") };
  const note = h("div.note.settled", { role: "status" }, news.map((one) => h("p", {}, [t("appeal.said", { text: one.text }), words[one.outcome], one.answer && t("appeal.answer", { text: one.answer })].filter(Boolean).join(" "))),
    h("button", { type: "button", onclick: () => { localStorage.setItem(SEEN, JSON.stringify([...seen, ...news.map((one) => one.id)].slice(-200))); note.remove(); } }, t("appeal.read")));
  return note;
}
