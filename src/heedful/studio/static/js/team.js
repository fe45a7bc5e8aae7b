// Who is here, and how others come in.
import { get, patch, post, put } from "./api.js";
import { by, fill, h, stacking, tell } from "./dom.js";
import { dialog, toTake } from "./keys.js";
import { when } from "./words.js";

const place = by("team");
const owns = Boolean(place.dataset.owner);
const ROLES = ["rater", "reviewer", ...(owns ? ["manager", "owner"] : [])];
const act = (promise) => promise.then(draw).catch((error) => tell(error.message));
const LISTEN = "--host 0.0.0.0 --public-url http://ADDRESS:PORT";
const HERE = /^http:\/\/(127\.|localhost|\[::1\])/; // a link that no other machine can open
const toSend = (about, link) => toTake("Send them this link", [about, HERE.test(link) && [" It opens on this machine alone: for others, start the studio with ", h("code", {}, LISTEN), ", the address by which they reach this machine."]], link);

async function draw() {
  const [people, projects] = await Promise.all([get("/accounts"), get("/projects")]);
  fill(place, h("section.card", {}, h("h2", {}, "Invite someone"), invitation(projects)),
    h("section.card", {}, stacking(["name", "login", "role", "skills", "since", ""], people.map(cells))),
    owns && h("section.card", {}, h("h2", {}, "A program"), service(projects)));
}

function invitation(projects) {
  const role = h("select", {}, ROLES.map((name) => h("option", {}, name)));
  const boxes = projects.map((one) => h("label", {}, h("input", { type: "checkbox", value: one.id }), one.name));
  const make = () => {
    const chosen = boxes.map((box) => box.querySelector("input")).filter((box) => box.checked).map((box) => Number(box.value));
    post("/invitations", { role: role.value, projects: chosen }).then((made) => toSend(`It works once, for ${made.days} days. It is not shown again.`, made.link)).catch((error) => tell(error.message));
  };
  return h("div.form", {}, h("div.row", {}, h("label", {}, "As", role), h("fieldset.inline", {}, h("legend", {}, "In"), boxes), h("button.primary", { type: "button", onclick: make }, "Make a link")));
}

function cells(one) {
  const reset = () => post(`/accounts/${one.id}/reset`).then((made) => toSend("By it they set a new password, once.", made.link)).catch((error) => tell(error.message));
  const role = owns ? h("select", { "aria-label": `Role of ${one.name}`, onchange: (event) => act(patch(`/accounts/${one.id}`, { role: event.target.value })) }, ["rater", "reviewer", "manager", "owner", "service"].map((name) => h("option", { selected: name === one.role }, name))) : one.role;
  const renew = () => post(`/services/${one.id}/token`).then((made) => toTake("Its new token", "Not shown again. Those that it had are worthless now.", made.token)).catch((error) => tell(error.message));
  const skills = h("input", { value: one.skills.join(", "), "aria-label": `Skills of ${one.name}, with commas between`, placeholder: "python, french", size: 14, maxlength: 800,
    onchange: (event) => act(put(`/accounts/${one.id}/skills`, { skills: event.target.value.split(",").map((name) => name.trim()).filter(Boolean) })) });
  const gone = one.login.startsWith("erased-");
  return [one.name, one.login, role, skills, when(one.created_at),
    h("div.row", {}, !gone && h("button", { type: "button", onclick: reset }, "Reset link"),
      owns && !gone && one.role === "service" && h("button", { type: "button", onclick: renew }, "New token"),
      owns && !gone && h("button", { type: "button", onclick: () => act(patch(`/accounts/${one.id}`, { active: !one.active })) }, one.active ? "Shut out" : "Let in again"),
      owns && !gone && h("button", { type: "button", onclick: () => erase(one) }, "Erase"))];
}

/** Forget who somebody was: asks what becomes of their words, and says what was done. */
function erase(one) {
  const go = (words) => post(`/accounts/${one.id}/erase`, { words }).then((done) => {
    dialog("Erased", h("p", {}, `Name, login and password are gone. ${done.judgements.toLocaleString()} judgements stay, under a pseudonym.`),
      h("ul", {}, h("li", {}, done.blanked ? `${done.blanked} reasons and notes were blanked.` : `${done.kept} reasons and notes stay.`), h("li", {}, `${done.edited} answers that they edited and ${done.chats} turns that they said in chats stay: answers and labels hang on them.`), h("li", {}, `${done.drafts} drafts were removed.`)),
      h("p.dim", {}, "Backups and exports made before still hold what they held."));
    return draw();
  }).catch((error) => tell(error.message));
  dialog(`Forget who ${one.name} was?`, h("p", {}, "It can't be undone. The judgements stay, under a pseudonym. Reasons and notes in their own words may tell who they were:"),
    h("div.row", {}, h("button", { type: "button", onclick: () => go("keep") }, "Forget, keep their words"), h("button", { type: "button", onclick: () => go("blank") }, "Forget, blank their words")));
}

function service(projects) {
  const name = h("input", { maxlength: 80 });
  const make = () => post("/services", { login: name.value, projects: projects.map((one) => one.id) }).then((made) => { toTake("Its token", "Not shown again. It may read and add labels in all present projects.", made.token); draw(); }).catch((error) => tell(error.message));
  return h("div.form.row", {}, h("label", {}, "Login name", name), h("button", { type: "button", onclick: make }, "Make an account for a program"));
}

draw().catch((error) => fill(place, h("p.fault", {}, error.message)));
