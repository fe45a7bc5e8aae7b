// Something is wrong with an item that has no answer yet.
import { h } from "./dom.js";
import { dialog } from "./keys.js";

/** Ask what is wrong; onSaid(words) once something is said. */
export function askWhatIsWrong(onSaid) {
  const area = h("textarea", { rows: 3, maxlength: 2000, "aria-label": "What is wrong", required: true });
  const box = dialog("What is wrong with this item?", h("p.dim", {}, "It goes to whoever manages the project, and to no other rater from you. It costs you nothing."), area,
    h("p", {}, h("button.primary", { type: "button", onclick: () => { if (area.value.trim()) { box.close(); onSaid(area.value); } else area.focus(); } }, "Report it")));
  area.focus();
}
