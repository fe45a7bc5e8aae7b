// Who is told, by signed letters, what happens in a project.
import { get, onSubmit, post, remove } from "./api.js";
import { fill, h, stacking, tell } from "./dom.js";
import { dialog, toTake } from "./keys.js";
import { when } from "./words.js";

const EVENTS = [["item_completed", "an item has all its judgements"], ["project_completed", "all items have"], ["dispute_opened", "raters disagree to the end"], ["drift_alarm", "a rater judges otherwise than at first"]];

/** The card of a project's webhooks, for its owner. */
export function webhooks(id) {
  const card = h("section.card", {}, h("h2", {}, "Tell other programs"));
  const draw = () => get(`/projects/${id}/webhooks`).then((hooks) => fill(card, h("h2", {}, "Tell other programs"), list(hooks), form())).catch((error) => fill(card, h("p.fault", {}, error.message)));
  const act = (promise) => promise.then(draw).catch((error) => tell(error.message));

  const look = (hook) => get(`/projects/${id}/webhooks/${hook.id}/deliveries`).then((rows) => dialog("Letters", rows.length ? stacking(["event", "when", "state", "tries", "last"],
    rows.map((row) => [row.event, when(row.created_at), row.state.replaceAll("_", " "), row.tries, row.said])) : h("p", {}, "None yet."))).catch((error) => tell(error.message));

  const list = (hooks) => hooks.length > 0 && stacking(["URL", "events", "arrived", "waiting", "given up", ""], hooks.map((hook) => [hook.url, hook.events.join(", ").replaceAll("_", " "), hook.done, hook.waiting, hook.given_up,
    h("div.row", {}, h("button", { type: "button", onclick: () => look(hook) }, "Letters"), hook.waiting + hook.given_up > 0 && h("button", { type: "button", onclick: () => act(post(`/projects/${id}/webhooks/${hook.id}/retry`)) }, "Send now"), h("button", { type: "button", onclick: () => act(remove(`/projects/${id}/webhooks/${hook.id}`)) }, "Remove"))]));

  const form = () => {
    const boxes = EVENTS.map(([event, label]) => h("label", {}, h("input", { type: "checkbox", name: event, checked: true }), label));
    const made = h("form.form", {}, h("label", {}, "URL", h("input", { name: "url", type: "url", required: true, maxlength: 500, placeholder: "https://example.org/heedful" })), h("fieldset.inline", {}, h("legend", {}, "When"), boxes), h("p.fault", { role: "alert" }), h("button", { type: "submit" }, "Add"));
    onSubmit(made, async (data) => {
      const hook = await post(`/projects/${id}/webhooks`, { url: data.get("url"), events: EVENTS.map(([event]) => event).filter((event) => data.has(event)) });
      toTake("Its secret", "Letters are signed with it. It is not shown again.", hook.secret);
      await draw();
    });
    return made;
  };

  draw();
  return card;
}
