// Talking to the studio's API. What goes wrong is an Error with the server's own sentence.
import { t } from "./words.js";

export class Refusal extends Error {
  constructor(status, sentence) {
    super(sentence);
    this.status = status; // 0: the studio could not be reached
  }
}

async function call(method, path, body, raw) {
  const options = { method, headers: {}, credentials: "same-origin", cache: "no-store" };
  if (raw !== undefined) options.body = raw;
  else if (body !== undefined) {
    options.body = JSON.stringify(body);
    options.headers["Content-Type"] = "application/json";
  }
  let answer;
  try {
    answer = await fetch(`/api${path}`, options);
  } catch {
    throw new Refusal(0, t("frame.away"));
  }
  const said = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Refusal(answer.status, said.error || t("frame.status", { status: String(answer.status) }));
  return said;
}

export const get = (path) => call("GET", path);
export const post = (path, body = {}) => call("POST", path, body);
export const put = (path, body = {}) => call("PUT", path, body);
export const patch = (path, body) => call("PATCH", path, body);
export const remove = (path) => call("DELETE", path);
export const upload = (path, file) => call("POST", path, undefined, file);

/** Run a form's act with its button off, and show its fault where the form has room for it. */
export function onSubmit(form, act) {
  const fault = form.querySelector(".fault") || form.parentElement.querySelector(".fault");
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = form.querySelector("[type=submit]");
    button.disabled = true;
    fault.textContent = "";
    try {
      await act(new FormData(form));
    } catch (error) {
      fault.textContent = error.message;
    } finally {
      button.disabled = false;
    }
  });
}
