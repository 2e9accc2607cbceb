/**
 * One conversation that is open, or that an answer is on its way to.
 *
 * It outlives its view: an answer goes on while another conversation is looked at.
 */

import { GatewayError } from "./gateway.js";
import { chatBody } from "./chat_request.js";
import { keepPartial, keepRunning, newId } from "./chat_store.js";
import { streamChat } from "./chat_stream.js";

const SAVE_MS = 1000;
const FAILED_MS = 250;
const LEAVING_MS = 5000;
const LONGEST_TITLE = 60;
const UNFINISHED = new Set(["waiting", "streaming"]);

// How long a lost connection may be that of a page that goes away.
let pauseMs = FAILED_MS;
window.addEventListener("beforeunload", () => {
  pauseMs = LEAVING_MS;
  setTimeout(() => {
    pauseMs = FAILED_MS;
  }, LEAVING_MS);
});

/** Answers on their way in this tab, by id: what stops each, when it has, and its conversation. */
const running = new Map();

/**
 * Fires `turns` when there are others, `answer` (detail: the answer) when one has
 * changed, `saved` when the conversation was.
 */
export class Session extends EventTarget {
  /**
   * @param {import("./chat_store.js").Store} store
   * @param {import("./chat_store.js").Conversation} record
   * @param {import("./chat_store.js").Turn[]} turns
   * @param {Map<string, string>} files data by id
   */
  constructor(store, record, turns = [], files = new Map()) {
    super();
    this.store = store;
    this.record = record;
    this.turns = turns;
    this.files = files;
    // Deleted: nothing of it is saved any more.
    this.gone = false;
  }

  /** A conversation that nothing was said in yet; it is saved with its first message. */
  static empty(store, model) {
    const now = Date.now();
    const times = { created: now, updated: now };
    const rest = { title: "", named: false, model, system: "", sampling: {} };
    return new Session(store, { id: newId(), ...times, ...rest });
  }

  static async open(store, record) {
    const turns = await store.turns(record.id);
    for (const answer of turns.flatMap((turn) => turn.answers)) {
      const here = running.has(answer.id);
      if (UNFINISHED.has(answer.state) && !here) answer.state = "interrupted";
    }
    return new Session(store, record, turns, await store.files(record.id));
  }

  /** @returns {boolean} whether an answer is on its way */
  get busy() {
    return this.#answers().some((answer) => running.has(answer.id));
  }

  /**
   * Say something, and ask for the answer.
   *
   * @param {string} text
   * @param {{name: string, kind: string, data: string}[]} attached
   * @param {string} model
   * @throws {Error} where this browser cannot keep it: nothing is said then
   */
  async say(text, attached, model) {
    const files = attached.map(({ data, ...info }) => ({ id: newId(), data, ...info }));
    for (const { id, data } of files) this.files.set(id, data);
    const turn = {
      id: newId(),
      conversation: this.record.id,
      order: (this.turns.at(-1)?.order ?? 0) + 1,
      user: {
        text,
        files: files.map(({ id, name, kind, data }) => ({ id, name, kind, size: data.length })),
      },
      answers: [],
      chosen: "",
    };
    this.turns.push(turn);
    this.record.model = model;
    this.#title();
    this.dispatchEvent(new Event("turns"));
    const conversation = this.record.id;
    try {
      await this.store.saveFiles(files.map(({ id, data }) => ({ id, conversation, data })));
      await this.store.saveTurn(turn);
    } catch (error) {
      this.turns.pop();
      this.dispatchEvent(new Event("turns"));
      throw error;
    }
    await this.answer(turn, model);
  }

  /**
   * Ask for an answer to a turn, besides those that it has.
   *
   * @param {import("./chat_store.js").Turn} turn
   * @param {string} model
   */
  async answer(turn, model) {
    const answer = { id: newId(), model, text: "", reasoning: "", state: "waiting" };
    const before = turn.chosen;
    turn.answers.push(answer);
    turn.chosen = answer.id;
    this.dispatchEvent(new Event("turns"));
    await this.#run(turn, answer);
    // Nothing goes on from what says nothing.
    const said = turn.answers.find(({ id }) => id === before)?.text;
    if (!answer.text && said) await this.choose(turn, { id: before });
  }

  /**
   * Ask for the same answer again, in the place of one that failed.
   *
   * @param {import("./chat_store.js").Turn} turn
   * @param {import("./chat_store.js").Answer} answer
   */
  async retry(turn, answer) {
    Object.assign(answer, { text: "", reasoning: "", reasoningMs: 0, error: null });
    await this.#run(turn, answer);
  }

  /**
   * Let an answer go on from what is there of it: the engine takes that as the
   * beginning of its answer. One that has nothing yet is asked for again.
   *
   * @param {import("./chat_store.js").Turn} turn
   * @param {import("./chat_store.js").Answer} answer
   */
  async goOn(turn, answer) {
    answer.error = null;
    await this.#run(turn, answer);
  }

  /** Stop this answer, or all; what came stays. */
  stop(id = null) {
    for (const answer of this.#answers()) {
      if (id === null || answer.id === id) running.get(answer.id)?.over.abort();
    }
  }

  /**
   * Say something else instead; what followed is replaced.
   *
   * @param {import("./chat_store.js").Turn} turn
   * @param {string} text
   * @param {string} model
   * @returns {() => Promise<void>} takes it back
   */
  async resend(turn, text, model) {
    await this.#stopped();
    const before = structuredClone(this.turns);
    const dropped = this.turns.splice(this.turns.indexOf(turn) + 1);
    turn.user.text = text;
    turn.answers = [];
    await this.store.removeTurns(dropped);
    this.#title();
    const answered = this.answer(turn, model);
    answered.catch(() => {});
    return async () => {
      await this.#stopped();
      await answered;
      this.turns = before;
      for (const each of before) await this.store.saveTurn(stored(each));
      this.dispatchEvent(new Event("turns"));
      this.#title();
      await this.save();
    };
  }

  /** Go on from this answer of a turn. */
  async choose(turn, answer) {
    turn.chosen = answer.id;
    this.dispatchEvent(new Event("turns"));
    if (!this.gone) await this.store.saveTurn(stored(turn));
  }

  /** Save the conversation, but not its turns. */
  async save() {
    if (this.turns.length && !this.gone) await this.store.save(this.record);
    this.dispatchEvent(new Event("saved"));
  }

  /** Keep what is on its way: the page may be going. */
  keep() {
    for (const answer of this.#answers()) if (running.has(answer.id)) keepPartial(answer);
  }

  /** Stop all answers, and wait until each stands as it was left. */
  async #stopped() {
    this.stop();
    const all = this.#answers().map(({ id }) => running.get(id)?.ended);
    await Promise.allSettled(all);
  }

  /** @returns {import("./chat_store.js").Turn|undefined} the one that has this answer */
  turnOf(answer) {
    return this.turns.find(({ answers }) => answers.includes(answer));
  }

  #answers() {
    return this.turns.flatMap((turn) => turn.answers);
  }

  #title() {
    const [turn] = this.turns;
    if (this.record.named || !turn) return;
    const said = turn.user.text.trim() || turn.user.files[0]?.name || "";
    const [line] = said.split("\n", 1);
    this.record.title =
      line.length > LONGEST_TITLE ? `${line.slice(0, LONGEST_TITLE).trimEnd()}…` : line;
  }

  #changed(answer) {
    this.dispatchEvent(new CustomEvent("answer", { detail: answer }));
  }

  #run(turn, answer) {
    const run = { over: new AbortController(), conversation: this.record.id };
    running.set(answer.id, run);
    run.ended = this.#ask(turn, answer, run.over);
    return run.ended;
  }

  async #ask(turn, answer, over) {
    const began = answer.text;
    Object.assign(answer, { state: "waiting", told: "", sentMs: performance.now() });
    this.record.updated = Date.now();
    this.#changed(answer);
    const save = async () => {
      if (!this.gone) await this.store.saveTurn(stored(turn));
    };
    // An answer that cannot be kept can still be read.
    const saveAll = () => Promise.allSettled([this.save(), save()]);
    await saveAll();
    let thinkingMs = 0;
    const saving = setInterval(() => save().catch(() => {}), SAVE_MS);
    const body = chatBody(this, turn, answer, began);
    try {
      const { finish, stats } = await streamChat(body, {
        signal: over.signal,
        onWait: (told) => {
          answer.told = told;
        },
        onReasoning: (text) => {
          thinkingMs ||= performance.now();
          answer.state = "streaming";
          answer.reasoning += text;
          answer.reasoningMs = performance.now() - thinkingMs;
          this.#changed(answer);
        },
        onText: (text) => {
          answer.state = "streaming";
          answer.text += text;
          this.#changed(answer);
        },
      });
      Object.assign(answer, { state: "done", finish, stats });
    } catch (error) {
      // A page that goes away loses its connections first: it is no failure, and what
      // comes after this is never reached.
      if (!over.signal.aborted) await new Promise((later) => setTimeout(later, pauseMs));
      answer.state = over.signal.aborted ? "stopped" : "failed";
      if (!over.signal.aborted) answer.error = plain(error);
    }
    clearInterval(saving);
    running.delete(answer.id);
    this.record.updated = Date.now();
    this.#changed(answer);
    await saveAll();
  }
}

/** The page may be going: let a reload of this tab know what it cuts. */
export function keepWhatRuns() {
  keepRunning(Array.from(running, ([id, { conversation }]) => [id, conversation]));
}

/** What of a turn is worth keeping. */
function stored(turn) {
  const answers = turn.answers.map(({ told, sentMs, ...answer }) => answer);
  return { ...turn, answers };
}

function plain(error) {
  const { message, code = "", status = 0 } = error;
  if (!(error instanceof GatewayError)) console.error(error);
  return { message, code, status };
}
