// A new project, with its items if a file is given.
import { get, onSubmit, post, upload } from "./api.js";
import { by, h } from "./dom.js";

const form = by("new");
get("/presets").then((presets) => {
  by("presets").replaceChildren(...presets.map((one, i) => h("label", {}, h("input", { type: "radio", name: "preset", value: one.key, checked: i === 0 }), one.name, h("span.hint", {}, one.about))));
});

onSubmit(form, async (data) => {
  const queue = Object.fromEntries(["overlap", "overlap_most", "training"].map((name) => [name, Number(data.get(name))]));
  queue.overlap_most = Math.max(queue.overlap, queue.overlap_most);
  const body = { name: data.get("name"), about: data.get("about"), guidelines: data.get("guidelines"), preset: data.get("preset"), queue };
  const made = await post("/projects", body);
  const file = data.get("file");
  let report = null;
  if (file?.size) {
    report = await upload(`/projects/${made.id}/import?name=${encodeURIComponent(file.name)}`, file).catch((error) => ({ faults: [error.message], fault_count: 1, items: 0, there_already: 0 }));
  }
  if (report?.fault_count) sessionStorage.setItem(`heedful.import.${made.id}`, JSON.stringify(report));
  location.assign(`/projects/${made.id}`);
});
