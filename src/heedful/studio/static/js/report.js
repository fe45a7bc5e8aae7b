// Something is wrong with an item that has no answer yet.
import { h } from "./dom.js";
import { dialog } from "./keys.js";
import { t } from "./words.js";

/** Ask what is wrong; onSaid(words) once something is said. */
export function askWhatIsWrong(onSaid) {
  const area = h("textarea", { rows: 3, maxlength: 2000, "aria-label": t("label.wrong_about"), required: true });
  const box = dialog(t("label.what_is_wrong"), h("p.dim", {}, t("label.report_to")), area,
    h("p", {}, h("button.primary", { type: "button", onclick: () => { if (area.value.trim()) { box.close(); onSaid(area.value); } else area.focus(); } }, t("label.report_it"))));
  area.focus();
}
