/**
 * All conversations: which one is open, what is done to one as a whole.
 */

import { Session, keepWhatRuns } from "./chat_session.js";
import { askName } from "./chat_settings.js";
import { takeRunning } from "./chat_store.js";
import { download, fromJSON, toJSON, toMarkdown } from "./chat_transfer.js";

const WORDS = {
  done: "The answer is complete.",
  stopped: "Stopped.",
  failed: "The answer failed.",
};

/**
 * Fires `open` when another one is open, `list` when something stands differently in
 * the list.
 */
export class Library extends EventTarget {
  #store;
  #tell;
  #sessions = new Map();

  /**
   * @param {import("./chat_store.js").Store} store
   * @param {{announce: (text: string) => void, toast: import("./toast.js").Toast}} tell
   */
  constructor(store, tell) {
    super();
    this.#store = store;
    this.#tell = tell;
    this.records = [];
    /** @type {Session} the one that is looked at */
    this.session = this.#adopt(Session.empty(store, ""));
    // Another tab may have said something meanwhile.
    document.addEventListener("visibilitychange", () => this.#list());
    window.addEventListener("popstate", () => this.#fromAddress(""));
  }

  /** @returns {Set<string>} ids of those that an answer is on its way to */
  get busy() {
    const busy = [...this.#sessions.values()].filter((session) => session.busy);
    return new Set(busy.map(({ record }) => record.id));
  }

  /**
   * Open what the address names, and let answers go on that a reload has cut.
   *
   * @param {string} model for a new one
   */
  async begin(model) {
    this.records = await this.#store.conversations();
    const cut = takeRunning();
    await this.#fromAddress(model);
    if (cut.size) await this.#resume(cut);
  }

  /** @param {string} model that a new conversation is with */
  fresh(model) {
    this.#look(Session.empty(this.#store, model), true);
  }

  /** @param {string} id */
  async open(id) {
    if (this.session?.record.id !== id) this.#look(await this.#load(id), true);
    else this.dispatchEvent(new Event("open"));
  }

  /** @param {string} id */
  async rename(id) {
    const session = await this.#load(id);
    const title = await askName(session.record.title);
    if (title === null) return;
    Object.assign(session.record, { title, named: true });
    await session.save();
  }

  /**
   * Delete one; it can be taken back for a while.
   *
   * @param {string} id
   * @param {string} model for the new one that is looked at instead
   */
  async remove(id, model) {
    const session = await this.#load(id);
    session.stop();
    session.gone = true;
    await this.#store.remove(id, session.turns);
    this.#sessions.delete(id);
    if (this.session === session) this.fresh(model);
    await this.#list();
    const act = async () => {
      session.gone = false;
      const { record, turns, files } = session;
      await this.#put(record, turns, Array.from(files, ([key, data]) => [key, id, data]));
      await this.open(id);
    };
    this.#tell.toast.show(`“${session.record.title}” is deleted.`, { label: "Undo", act });
  }

  /**
   * @param {string} id
   * @param {"json"|"markdown"} kind
   */
  async save(id, kind) {
    const session = await this.#load(id);
    const name = session.record.title.slice(0, 80) || "conversation";
    if (kind === "json") download(`${name}.json`, toJSON([session]), "application/json");
    else download(`${name}.md`, toMarkdown(session), "text/markdown");
  }

  async saveAll() {
    const all = await Promise.all(this.records.map(({ id }) => this.#load(id)));
    download("conversations.json", toJSON(all), "application/json");
  }

  /** @param {File} file that `saveAll` or `save` has written */
  async load(file) {
    try {
      const all = fromJSON(await file.text());
      for (const { record, turns, files } of all) {
        await this.#put(record, turns, files.map((each) => [each.id, record.id, each.data]));
      }
      const many = all.length === 1 ? "1 conversation is" : `${all.length} conversations are`;
      this.#tell.toast.show(`${many} imported.`);
      if (all.length) await this.open(all[0].record.id);
    } catch (error) {
      this.#tell.toast.show(error.message);
    }
  }

  /** The page may be going. */
  keep() {
    for (const session of this.#sessions.values()) session.keep();
    keepWhatRuns();
  }

  async #put(record, turns, files) {
    const all = files.map(([id, conversation, data]) => ({ id, conversation, data }));
    await this.#store.saveFiles(all);
    for (const turn of turns) await this.#store.saveTurn(turn);
    await this.#store.save(record);
    await this.#list();
  }

  async #resume(cut) {
    const known = new Set(this.records.map(({ id }) => id));
    for (const id of new Set(cut.values())) {
      if (!known.has(id)) continue;
      const session = await this.#load(id);
      for (const turn of session.turns) {
        for (const answer of turn.answers) {
          if (!cut.has(answer.id) || answer.state !== "interrupted") continue;
          // One that only thought cannot be taken up: it stays as it is, with a button.
          if (answer.text || !answer.reasoning) session.goOn(turn, answer);
        }
      }
    }
  }

  async #load(id) {
    const known = this.#sessions.get(id);
    const record = this.records.find((each) => each.id === id);
    const older = record && known && known.record.updated < record.updated;
    if (known && (known.busy || !older)) return known;
    return this.#adopt(await Session.open(this.#store, record));
  }

  #adopt(session) {
    this.#sessions.set(session.record.id, session);
    session.addEventListener("saved", () => this.#list());
    session.addEventListener("turns", () => {
      this.#address();
      this.#changed();
    });
    let last = "";
    session.addEventListener("answer", ({ detail: { id, state, model } }) => {
      if (last === id + state) return;
      last = id + state;
      this.#changed();
      if (session !== this.session) return;
      const waits = state === "waiting" ? `Waiting for ${model}.` : `${model} answers.`;
      this.#tell.announce(WORDS[state] ?? waits);
    });
    return session;
  }

  #look(session, visit) {
    const known = this.#sessions.has(session.record.id);
    this.session = known ? session : this.#adopt(session);
    const hash = session.turns.length ? `#${session.record.id}` : "";
    const address = `${location.pathname}${location.search}${hash}`;
    if (visit && location.hash !== hash) history.pushState(null, "", address);
    this.dispatchEvent(new Event("open"));
    this.#changed();
  }

  async #fromAddress(model) {
    const id = location.hash.slice(1);
    const known = this.records.some((record) => record.id === id);
    if (known) this.#look(await this.#load(id), false);
    else this.#look(Session.empty(this.#store, model), false);
  }

  /** What was new has an address from its first message on. */
  #address() {
    const { record, turns } = this.session;
    if (!turns.length || location.hash === `#${record.id}`) return;
    history.replaceState(null, "", `${location.pathname}${location.search}#${record.id}`);
  }

  async #list() {
    this.records = await this.#store.conversations();
    this.#changed();
  }

  #changed() {
    this.dispatchEvent(new Event("list"));
  }
}
