// Answers on their way. Each is kept in this browser until the server says that it is on its disk.
import { get, post, put } from "./api.js";
import { t } from "./words.js";

const account = document.body.dataset.account;
const BOX = `heedful.outbox.${account}`;
const DRAFTS = `heedful.drafts.${account}`;

const read = (key, other) => {
  try {
    return JSON.parse(localStorage.getItem(key)) ?? other;
  } catch {
    return other;
  }
};
const write = (key, value) => localStorage.setItem(key, JSON.stringify(value));

/** A random UUID also where the page came without TLS, where crypto.randomUUID is not given. */
export function uuid() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

/** Whether this page's account is not, or not surely, the one that is signed in: what is refused then may be sent later. */
async function someoneElse() {
  const me = await get("/me").catch(() => null);
  return String(me?.id) !== account;
}

export class Outbox {
  /** onState(state, sentence, entry): saved, saving, waiting (no connection), refused. onSaved(entry, answer). */
  constructor({ onState, onSaved }) {
    this.onState = onState;
    this.onSaved = onSaved;
    this.wait = 1000;
    addEventListener("online", () => this.flush());
    addEventListener("storage", (event) => { if (event.key === BOX) this.say(); });
    addEventListener("beforeunload", (event) => { if (this.entries.length) event.preventDefault(); });
    if (this.entries.length) this.flush();
  }

  get entries() { return read(BOX, []); }
  holds(assignment) { return this.entries.some((entry) => entry.assignment === assignment); }

  /** kind: judgements, skip, report, decision; path: of what is no assignment, and its name in place of one's number. */
  add(assignment, kind, body, path = `/assignments/${assignment}/${kind}`) {
    const entry = { assignment, kind, path, body: body.value ? { client_uuid: uuid(), ...body } : body };
    write(BOX, [...this.entries, entry]);
    dropDraft(assignment);
    this.flush();
    return entry;
  }

  /** Send all that waits; resolves when it is sent or has failed for now. */
  flush() {
    clearTimeout(this.timer);
    this.running ??= this.send().finally(() => { this.running = null; });
    return this.running;
  }

  async send() {
    try {
      while (this.entries.length) {
        const [first] = this.entries;
        this.onState("saving", t("outbox.saving"));
        const answer = await post(first.path, first.body);
        this.drop(first);
        this.wait = 1000;
        this.onSaved(first, answer);
      }
      this.onState("saved", t("outbox.saved"));
    } catch (error) {
      await this.fail(error);
    }
  }

  async fail(error) {
    const [first] = this.entries;
    if (error.status === 0 || error.status >= 500 || error.status === 429) {
      this.say();
      this.timer = setTimeout(() => this.flush(), this.wait);
      this.wait = Math.min(30000, 2 * this.wait);
    } else if (error.status === 401) {
      this.onState("waiting", t("outbox.signed_out"));
      this.timer = setTimeout(() => this.flush(), 5000);
    } else if (await someoneElse()) {
      this.onState("waiting", t("outbox.somebody_else"));
      this.timer = setTimeout(() => this.flush(), 5000);
    } else {
      this.drop(first);
      if (first.body.value) keepDraft(first.assignment, first.body.value);
      this.onState("refused", error.message, first);
      this.timer = setTimeout(() => this.flush(), 0);
    }
  }

  say() {
    const waiting = this.entries.length;
    if (waiting) this.onState("waiting", t("outbox.waiting", { n: waiting }));
  }

  drop(entry) {
    write(BOX, this.entries.filter((one) => !(one.assignment === entry.assignment && one.kind === entry.kind && one.body.client_uuid === entry.body.client_uuid)));
  }
}

/** What is filled in so far: at once in this browser, and a moment later on the server. */
const timers = new Map();
export function saveDraft(assignment, value) {
  keepDraft(assignment, value);
  clearTimeout(timers.get(assignment));
  timers.set(assignment, setTimeout(() => put(`/assignments/${assignment}/draft`, { value }).catch(() => {}), 1200));
}
export const draftOf = (assignment) => read(DRAFTS, {})[assignment];
/** In this browser alone: what is no assignment's goes by a name. */
export function keepDraft(assignment, value) {
  const drafts = Object.entries({ ...read(DRAFTS, {}), [assignment]: value }).slice(-50);
  write(DRAFTS, Object.fromEntries(drafts));
}
export function dropDraft(assignment) {
  clearTimeout(timers.get(assignment));
  const drafts = read(DRAFTS, {});
  delete drafts[assignment];
  write(DRAFTS, drafts);
}
