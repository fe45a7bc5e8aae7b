// One's own account.
import { get, onSubmit, post, remove } from "./api.js";
import { by, h, stacking, tell } from "./dom.js";
import { toTake } from "./keys.js";
import { restAfter, setRest } from "./rest.js";
import { t, when } from "./words.js";

const MAY = { read: t("account.read"), label: t("account.label"), manage: t("account.manage") };

by("language").addEventListener("change", () => { // a cookie, so that the studio knows before it sends a page
  const chosen = by("language").value;
  document.cookie = `heedful_language=${chosen}; path=/; samesite=lax; max-age=${chosen ? 400 * 86400 : 0}`;
  location.reload();
});

by("rest").value = String(restAfter());
by("rest").addEventListener("change", () => { setRest(Number(by("rest").value)); tell(t("account.kept")); });

by("sign-out").addEventListener("click", () => remove("/session").then(() => location.assign("/login")));
onSubmit(by("password"), async (data) => {
  await post("/me/password", { old: data.get("old"), new: data.get("new") });
  by("password").reset();
  tell(t("account.changed"));
  await draw();
});

async function draw() {
  const rows = (await get("/tokens")).filter((one) => !one.revoked);
  by("tokens").replaceChildren(...(rows.length ? [stacking([], rows.map((one) => [one.name, one.scopes.map((name) => MAY[name]).join(", "), t("account.until", { time: when(one.expires_at) }), h("button", { type: "button", onclick: () => remove(`/tokens/${one.id}`).then(draw) }, t("account.revoke"))]))] : []));
}

onSubmit(by("new-token"), async (data) => {
  const scopes = Object.keys(MAY).filter((name) => data.get(name));
  const made = await post("/tokens", { name: data.get("name"), scopes, days: Number(data.get("days")) });
  toTake(t("account.your_token"), t("account.shown_once"), made.token);
  await draw();
});
draw();
