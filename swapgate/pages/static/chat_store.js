/**
 * Conversations in IndexedDB, in this browser and nowhere else.
 *
 * A conversation, its turns and its files are kept apart, so that saving an answer that
 * grows does not write the images of its conversation again.
 *
 * @typedef {{id: string, title: string, named: boolean, created: number,
 *   updated: number, model: string, system: string,
 *   sampling: Object<string, number>}} Conversation times are ms of the epoch; `named`
 *   where the user gave the title
 * @typedef {{id: string, name: string, kind: "image"|"text", size: number}} FileInfo
 * @typedef {{id: string, conversation: string, order: number,
 *   user: {text: string, files: FileInfo[]}, answers: Answer[], chosen: string}} Turn
 * @typedef {{id: string, model: string, text: string, reasoning: string, state: string,
 *   reasoningMs?: number, stats?: object, error?: object|null,
 *   finish?: string}} Answer `state`: waiting, streaming, done, stopped, failed,
 *   interrupted
 */

const NAME = "swapgate-chat";
const VERSION = 1;
const PARTIAL = "swapgate.partial.";
const RUNNING = "swapgate.running";

export class Store {
  #db;

  /** @param {IDBDatabase} db */
  constructor(db) {
    this.#db = db;
  }

  /** @returns {Promise<Store>} */
  static async open() {
    const opening = indexedDB.open(NAME, VERSION);
    opening.onupgradeneeded = () => {
      const db = opening.result;
      db.createObjectStore("conversations", { keyPath: "id" });
      for (const name of ["turns", "files"]) {
        const store = db.createObjectStore(name, { keyPath: "id" });
        store.createIndex("conversation", "conversation");
      }
    };
    const db = await done(opening);
    // Another tab brings a newer version.
    db.onversionchange = () => db.close();
    return new Store(db);
  }

  /** @returns {Promise<Conversation[]>} the latest first */
  async conversations() {
    const found = await done(this.#read("conversations").getAll());
    return found.sort((one, other) => other.updated - one.updated);
  }

  /**
   * @param {string} conversation its id
   * @returns {Promise<Turn[]>}
   */
  async turns(conversation) {
    const turns = await done(this.#read("turns").index("conversation").getAll(conversation));
    for (const turn of turns) for (const answer of turn.answers) mergePartial(answer);
    return turns.sort((one, other) => one.order - other.order);
  }

  /**
   * The data of a conversation's files, by id: an image's data URL, or a text.
   *
   * @param {string} conversation its id
   * @returns {Promise<Map<string, string>>}
   */
  async files(conversation) {
    const found = await done(this.#read("files").index("conversation").getAll(conversation));
    return new Map(found.map(({ id, data }) => [id, data]));
  }

  /** @param {Conversation} conversation */
  async save(conversation) {
    await this.#write(["conversations"], (store) => store("conversations").put(conversation));
  }

  /** @param {Turn} turn */
  async saveTurn(turn) {
    await this.#write(["turns"], (store) => store("turns").put(turn));
    forgetPartials([turn]);
  }

  /** @param {{id: string, conversation: string, data: string}[]} files */
  async saveFiles(files) {
    await this.#write(["files"], (store) => files.forEach((file) => store("files").put(file)));
  }

  /** @param {Turn[]} turns */
  async removeTurns(turns) {
    forgetPartials(turns);
    await this.#write(["turns"], (store) => turns.forEach(({ id }) => store("turns").delete(id)));
  }

  /**
   * @param {string} id a conversation's, which goes with all that is in it
   * @param {Turn[]} turns its own
   */
  async remove(id, turns) {
    forgetPartials(turns);
    await this.#write(["conversations", "turns", "files"], (store) => {
      store("conversations").delete(id);
      for (const name of ["turns", "files"]) {
        const all = store(name).index("conversation").openKeyCursor(IDBKeyRange.only(id));
        all.onsuccess = () => {
          if (!all.result) return;
          store(name).delete(all.result.primaryKey);
          all.result.continue();
        };
      }
    });
  }

  /**
   * The conversations in which this is said, by either side.
   *
   * @param {string} text in lower case
   * @param {AbortSignal} signal
   * @returns {Promise<Set<string>>} their ids
   */
  search(text, signal) {
    return new Promise((resolve, reject) => {
      const found = new Set();
      const all = this.#read("turns").openCursor();
      all.onerror = () => reject(all.error);
      all.onsuccess = () => {
        const cursor = all.result;
        if (!cursor || signal.aborted) resolve(found);
        else {
          const { conversation, user, answers } = cursor.value;
          const said = [user.text, ...answers.map((answer) => answer.text)];
          if (said.some((each) => each.toLowerCase().includes(text))) found.add(conversation);
          cursor.continue();
        }
      };
    });
  }

  #read(name) {
    return this.#db.transaction(name).objectStore(name);
  }

  #write(names, act) {
    return new Promise((resolve, reject) => {
      const transaction = this.#db.transaction(names, "readwrite");
      transaction.oncomplete = () => resolve();
      transaction.onabort = () => reject(transaction.error);
      act((name) => transaction.objectStore(name));
    });
  }
}

/** @returns {string} an id that nothing else has */
export function newId() {
  // randomUUID is only there where the page came by https or from this machine.
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * Keep an answer as it stands while the page goes away, when nothing that takes time is
 * finished any more.
 *
 * @param {Answer} answer
 */
export function keepPartial(answer) {
  const { id, text, reasoning } = answer;
  try {
    localStorage.setItem(PARTIAL + id, JSON.stringify({ text, reasoning }));
  } catch {
    // There is no more room; what was saved a second ago is there.
  }
}

function forgetPartials(turns) {
  for (const { answers } of turns) {
    for (const { id } of answers) localStorage.removeItem(PARTIAL + id);
  }
}

function mergePartial(answer) {
  const kept = localStorage.getItem(PARTIAL + answer.id);
  if (!kept) return;
  const { text, reasoning } = JSON.parse(kept);
  if (text.length > answer.text.length) answer.text = text;
  if (reasoning.length > answer.reasoning.length) answer.reasoning = reasoning;
}

/**
 * Not kept before the page goes: a tab that is duplicated gets all that is kept for this
 * one, and would ask for the same answers.
 *
 * @param {[string, string][]} running ids of the answers that are on their way in this
 *   tab, each with that of its conversation
 */
export function keepRunning(running) {
  sessionStorage.setItem(RUNNING, JSON.stringify(running));
}

/** @returns {Map<string, string>} what was kept of this tab, once */
export function takeRunning() {
  const kept = sessionStorage.getItem(RUNNING);
  sessionStorage.removeItem(RUNNING);
  return new Map(JSON.parse(kept ?? "[]"));
}

function done(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
