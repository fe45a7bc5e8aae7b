// A quiet reminder of a break, for whoever wants one (Your account). It is kept in this browser and told to nobody.
import { h } from "./dom.js";
import { t } from "./words.js";

const AFTER = "heedful.rest"; // minutes; none: no reminder
const WORKED = "heedful.rest.worked"; // since when without a pause, and when last at work
const PAUSE = 5 * 60000;

export const restAfter = () => Number(localStorage.getItem(AFTER) || 0);
export const setRest = (minutes) => (minutes ? localStorage.setItem(AFTER, String(minutes)) : localStorage.removeItem(AFTER));

/** The stretch of work at a sign of it: it begins anew after a pause. Times are in milliseconds. */
export const stretch = (before, now) => (before && now - before.last < PAUSE ? { since: before.since, last: now } : { since: now, last: now });

/** Show the reminder before an element once the stretch of work is as long as the rater has set. */
export function remind(place) {
  if (!restAfter()) return;
  let note = null;
  let told = 0;
  const read = () => JSON.parse(localStorage.getItem(WORKED) || "null");
  const keep = (worked) => localStorage.setItem(WORKED, JSON.stringify(worked));
  const sign = () => {
    const now = Date.now();
    if (document.hidden || now - told < 10000) return;
    told = now;
    const worked = stretch(read(), now);
    keep(worked);
    const minutes = Math.floor((now - worked.since) / 60000);
    if (note?.isConnected || minutes < restAfter()) return;
    const rested = () => { keep({ since: Date.now(), last: Date.now() }); note.remove(); };
    note = h("div.note.rest", { role: "status" }, h("span", {}, t("rest.worked", { n: minutes })), h("button", { type: "button", onclick: rested }, t("rest.all_right")));
    place.before(note);
  };
  for (const kind of ["keydown", "pointerdown"]) addEventListener(kind, sign, { passive: true });
  sign();
}
