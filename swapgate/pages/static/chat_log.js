/**
 * The conversation that is looked at: its turns, and the place in it.
 */

import { TurnView } from "./chat_turn.js";
import { el } from "./dom.js";
import { EachFrame, Follower } from "./frames.js";

const NEAR_PX = 64;
const TICK_MS = 250;

export class Log {
  #box;
  #turns = el("div", { class: "turns" });
  #views = new Map();
  #session = null;
  #actions;
  #leave = new AbortController();
  #follower;
  #grown = new EachFrame(() => this.#follower.grown());

  /**
   * @param {HTMLElement} box scrolls
   * @param {HTMLButtonElement} toEnd goes to the end
   * @param {import("./chat_turn.js").Actions} actions
   */
  constructor(box, toEnd, actions) {
    this.#box = box;
    this.#actions = actions;
    box.append(this.#turns);
    this.#follower = new Follower(box, NEAR_PX, (following) => {
      toEnd.hidden = following;
    });
    toEnd.addEventListener("click", () => this.#follower.toEnd());
    box.addEventListener("drawn", () => this.#follower.grown());
    // A window that changes its size moves the end.
    new ResizeObserver(() => this.#grown.ask()).observe(box);
    setInterval(() => this.#tick(), TICK_MS);
  }

  /**
   * Look at this one.
   *
   * @param {import("./chat_session.js").Session} session
   */
  show(session) {
    this.#leave.abort();
    this.#leave = new AbortController();
    const { signal } = this.#leave;
    this.#session = session;
    this.#views.clear();
    this.#turns.replaceChildren();
    session.addEventListener("turns", () => this.#update(), { signal });
    session.addEventListener("answer", ({ detail }) => this.#changed(detail), { signal });
    this.#update();
    this.toEnd();
  }

  /** Go to the end. */
  toEnd() {
    this.#follower.toEnd();
  }

  #update() {
    const { turns, files } = this.#session;
    const kept = new Set(turns);
    for (const [turn, view] of this.#views) {
      // What was edited looks different from the first line on.
      if (kept.has(turn) && view.said === turn.user.text) continue;
      view.node.remove();
      this.#views.delete(turn);
    }
    turns.forEach((turn, n) => {
      let view = this.#views.get(turn);
      if (!view) {
        view = new TurnView(turn, files, this.#actions);
        view.said = turn.user.text;
        this.#views.set(turn, view);
      }
      const before = this.#turns.children[n] ?? null;
      if (before !== view.node) this.#turns.insertBefore(view.node, before);
      view.update();
    });
    this.#box.classList.toggle("empty", !turns.length);
    this.#grown.ask();
  }

  #changed(answer) {
    const turn = this.#session.turnOf(answer);
    this.#views.get(turn)?.refresh(answer.id);
  }

  #tick() {
    for (const view of this.#views.values()) view.tick();
  }
}
