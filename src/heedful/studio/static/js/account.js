// One's own account.
import { get, onSubmit, post, remove } from "./api.js";
import { by, h, tell, when } from "./dom.js";
import { dialog } from "./keys.js";
import { restAfter, setRest } from "./rest.js";

by("rest").value = String(restAfter());
by("rest").addEventListener("change", () => { setRest(Number(by("rest").value)); tell("Kept."); });

by("sign-out").addEventListener("click", () => remove("/session").then(() => location.assign("/login")));
onSubmit(by("password"), async (data) => {
  await post("/me/password", { old: data.get("old"), new: data.get("new") });
  by("password").reset();
  tell("The password is changed; other sessions and all tokens have ended.");
  await draw();
});

async function draw() {
  const rows = (await get("/tokens")).filter((one) => !one.revoked);
  by("tokens").replaceChildren(...(rows.length ? [h("table", {}, h("tbody", {}, rows.map((one) => h("tr", {}, h("td", {}, one.name), h("td", {}, one.scopes.join(", ")), h("td", {}, `until ${when(one.expires_at)}`), h("td", {}, h("button", { type: "button", onclick: () => remove(`/tokens/${one.id}`).then(draw) }, "Revoke"))))))] : []));
}

onSubmit(by("new-token"), async (data) => {
  const scopes = ["read", "label", "manage"].filter((name) => data.get(name));
  const made = await post("/tokens", { name: data.get("name"), scopes, days: Number(data.get("days")) });
  dialog("Your token", h("p", {}, "It is not shown again."), h("p.secret", {}, made.token));
  await draw();
});
draw();
