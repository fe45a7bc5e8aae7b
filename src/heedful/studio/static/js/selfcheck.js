// Whether browser, proxy and studio agree about address, encryption and time; and the log.
import { get } from "./api.js";
import { by, h, stacking } from "./dom.js";
import { when } from "./words.js";

const mine = new URLSearchParams({ browser_time: Date.now() / 1000, browser_url: location.href });
get(`/selfcheck?${mine}`).then((checks) => {
  by("checks").replaceChildren(...checks.map((one) => h(`li${one.right ? "" : ".wrong"}`, {}, h("b", {}, `${one.right ? "✓" : "✗"} ${one.name}: `), one.said)));
}).catch((error) => by("checks").replaceChildren(h("li.wrong", {}, error.message)));
get("/events").then((log) => {
  const whole = log.broken_at ? h("p.fault", {}, `Event ${log.broken_at} was changed after it was written.`) : h("p.dim", {}, "The log is whole: each line's hash covers the one before.");
  by("events").replaceChildren(whole, stacking([], log.events.map((one) => [when(one.at), one.action, one.subject, h("span.dim", {}, Object.entries(one.detail).map(([key, value]) => `${key} ${value}`).join(", "))])));
});
