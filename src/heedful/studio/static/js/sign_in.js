// Coming in: by name and password, or by a one-time link.
import { get, onSubmit, post } from "./api.js";
import { by } from "./dom.js";
import { t } from "./words.js";

const ROLES = { owner: t("role.owner"), manager: t("role.manager"), reviewer: t("role.reviewer"), rater: t("role.rater") };

const signIn = by("sign-in");
if (signIn) {
  onSubmit(signIn, async (data) => {
    await post("/session", { login: data.get("login"), password: data.get("password") });
    const next = new URLSearchParams(location.search).get("next") || "/";
    location.assign(/^\/(?![/\\])/.test(next) ? next : "/");
  });
}

const join = by("join");
if (join) {
  const path = `/links/${encodeURIComponent(join.dataset.secret)}`;
  get(path).then((link) => {
    const reset = link.kind === "reset";
    by("what").textContent = reset ? t("join.reset") : link.kind === "owner" ? t("join.owner") : t("join.invited", { role: ROLES[link.role] });
    join.querySelector(".new-account").hidden = reset;
    join.hidden = false;
    onSubmit(join, async (data) => {
      await post(path, { login: data.get("login") || "", name: data.get("name") || "", password: data.get("password") });
      location.assign("/");
    });
  }).catch((error) => { by("what").textContent = error.message; });
}
