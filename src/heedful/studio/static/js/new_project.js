// A new project, with its items if a file is given.
import { get, onSubmit, post, upload } from "./api.js";
import { by, h } from "./dom.js";
import { auditOf, followAudit, numbersOf } from "./queue.js";

const form = by("new");
get("/presets").then((presets) => {
  const choice = (value, name, about, checked) => h("label", {}, h("input", { type: "radio", name: "preset", value, checked }), name, h("span.hint", {}, about));
  by("presets").replaceChildren(...presets.map((one, i) => choice(one.key, one.name, one.about, i === 0)), choice("", "A sheet of your own", "A TOML file, as docs/studio.md shows it.", false));
});
form.addEventListener("change", () => {
  const own = form.elements.preset.value === "";
  by("own-sheet").hidden = !own;
  form.elements.sheet.required = own;
});

followAudit(form);
onSubmit(form, async (data) => {
  const queue = { ...numbersOf(form, data), ...auditOf(data), suggestions: data.get("suggestions") };
  if (queue.overlap > queue.overlap_most) queue.overlap_most = queue.overlap;
  const body = { name: data.get("name"), about: data.get("about"), guidelines: data.get("guidelines"), warning: data.get("warning"), queue };
  if (data.get("preset")) body.preset = data.get("preset");
  else body.sheet_toml = await data.get("sheet").text();
  const made = await post("/projects", body);
  const file = data.get("file");
  let report = null;
  if (file?.size) {
    report = await upload(`/projects/${made.id}/import?name=${encodeURIComponent(file.name)}`, file).catch((error) => ({ faults: [error.message], fault_count: 1, items: 0, there_already: 0 }));
  }
  if (report?.fault_count) sessionStorage.setItem(`heedful.import.${made.id}`, JSON.stringify(report));
  location.assign(`/projects/${made.id}`);
});
