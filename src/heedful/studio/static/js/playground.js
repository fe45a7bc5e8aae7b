// Models side by side, with their names.
import { get, post } from "./api.js";
import { by, fill, h, text } from "./dom.js";

const place = by("playground");
const threads = new Map(); // model -> its own messages

async function start() {
  const models = await get("/models");
  if (!models.length) {
    fill(place, h("section.card", {}, h("p", {}, "The studio was started without models. Start it with those of a run, or with any OpenAI-compatible endpoint:"), h("pre.raw", {}, "heedful studio --serve demo\nheedful studio --model sft=http://127.0.0.1:8001/v1")));
    return;
  }
  const boxes = models.map((name, i) => h("label", {}, h("input", { type: "checkbox", value: name, checked: i < 2 }), name));
  const area = h("textarea", { rows: 3, "aria-label": "What to ask", placeholder: "Ask them something", maxlength: 8000 });
  const heat = h("input", { type: "number", min: 0, max: 5, step: 0.1, value: 0.7 });
  const send = h("button.primary", { type: "button" }, "Ask");
  const fault = h("p.fault", { role: "alert" });
  const log = h("div.said");
  send.addEventListener("click", async () => {
    const chosen = boxes.map((box) => box.querySelector("input")).filter((box) => box.checked).map((box) => box.value);
    if (!area.value.trim() || !chosen.length) return;
    send.disabled = true;
    fault.textContent = "";
    const asked = area.value;
    try {
      const answers = (await Promise.all(chosen.map((model) => post("/playground", { models: [model], messages: [...(threads.get(model) || []), { role: "user", content: asked }], temperature: Number(heat.value) })))).flat();
      for (const one of answers) threads.set(one.model, [...(threads.get(one.model) || []), { role: "user", content: asked }, { role: "assistant", content: one.text }]);
      log.append(h("div.turn.user", {}, asked), h("div.answers", {}, answers.map((one) => h("article.answer", {}, h("header", {}, h("h2", {}, one.model)), text(one)))));
      area.value = "";
      area.focus();
    } catch (error) {
      fault.textContent = error.message;
    }
    send.disabled = false;
  });
  fill(place, log, h("section.card.form", {}, h("fieldset.inline", {}, h("legend", {}, "Models"), boxes), area, h("div.row", {}, h("label", {}, "Temperature", heat), send, h("button", { type: "button", onclick: () => { threads.clear(); log.replaceChildren(); } }, "Forget all")), fault));
}
start().catch((error) => fill(place, h("p.fault", {}, error.message)));
