/**
 * The picture of the gateway, live from its events.
 *
 * 1. What is drawn is the last state, once a frame however many come; once a second its
 *    times go on.
 * 2. History is asked for once, and then for what is new whenever a phase has changed.
 * 3. An event that ends brings itself back (`gateway.js`); meanwhile the picture is the
 *    last one, and says so.
 */

import { EachFrame } from "./frames.js";
import { events, forgetKey, hasKey, request } from "./gateway.js";
import { Cards } from "./status_cards.js";
import { signature, Spans } from "./status_history.js";
import { Log } from "./status_log.js";
import { Memory } from "./status_memory.js";
import { mark, say, show } from "./status_nodes.js";
import { LastSwaps, Queue } from "./status_queue.js";
import { Timeline } from "./status_timeline.js";
import { Toast } from "./toast.js";

const TICK_MS = 1000;
const HISTORY_PAUSE_MS = 700;
const $ = (id) => document.getElementById(id);

/** The whole of it. */
export class Picture {
  #state = null;
  #heardMs = 0;
  #offsetS = 0;
  #spans = new Spans();
  #signature = "";
  #historyAt = null;
  #asking = false;
  #over = new AbortController();
  #frame = new EachFrame(() => this.draw());
  #memory = new Memory($("memory"));
  #queue = new Queue($("queue"));
  #swaps = new LastSwaps($("swaps"));
  #log = new Log($("child-log"), $("log-title"));
  #cards = new Cards($("models"), {
    act: (name, verb) => this.#act(name, verb),
    readLog: (name) => this.#log.open(name, path(name, "log")),
  });
  #timeline = new Timeline($("timeline"), this.#spans, () => Date.now() / 1000 + this.#offsetS);
  #toast = new Toast($("toast"));

  /** Listen from now on. */
  start() {
    events("/swapgate/events", {
      signal: this.#over.signal,
      onEvent: (data, name) => this.heard(data, name),
      onConnected: (connected, error) => this.#connected(connected, error),
    });
    setInterval(() => this.#frame.ask(), TICK_MS);
    const forget = $("forget");
    show(forget, hasKey());
    forget.addEventListener("click", () => {
      forgetKey();
      location.reload();
    });
  }

  /**
   * Take over what an event told.
   *
   * @param {object} data
   * @param {string} name the event's
   */
  heard(data, name) {
    this.#offsetS = data.at - Date.now() / 1000;
    if (name === "state") {
      this.#state = data;
      this.#heardMs = performance.now();
    } else if (name === "tokens" && this.#state) {
      // A model may be called as what every object has.
      const rates = new Map(Object.entries(data.tokens_per_s));
      for (const model of this.#state.models) {
        model.tokens_per_s = rates.get(model.name) ?? 0;
      }
    } else return;
    this.#frame.ask();
    const now = signature(this.#state);
    if (now !== this.#signature) {
      this.#signature = now;
      this.#askHistory();
    }
  }

  /** Draw the last state as it is by now. */
  draw() {
    if (!this.#state) return;
    const laterS = (performance.now() - this.#heardMs) / 1000;
    const nowS = Date.now() / 1000 + this.#offsetS;
    this.#memory.draw(this.#state);
    this.#cards.draw(this.#state, laterS, nowS);
    this.#queue.draw(this.#state, laterS);
    this.#swaps.draw(this.#state);
    this.#timeline.move();
  }

  /**
   * Take over a part of the history, and draw it.
   *
   * @param {object} told of /swapgate/history
   */
  joined(told) {
    this.#spans.join(told);
    this.#timeline.draw(this.#state.models.map(({ name }) => name));
  }

  async #askHistory() {
    if (this.#asking) return;
    this.#asking = true;
    let asked = "";
    try {
      while (asked !== this.#signature) {
        asked = this.#signature;
        // What went on then may have ended since.
        const since = this.#historyAt === null ? "" : `?since=${this.#historyAt - 1}`;
        const response = await request(`/swapgate/history${since}`, { quiet: true });
        const told = await response.json();
        this.#historyAt = told.at;
        this.joined(told);
        await new Promise((resolve) => setTimeout(resolve, HISTORY_PAUSE_MS));
      }
    } catch {
      // The events tell that the gateway is away; its next state asks again.
      this.#signature = "";
    } finally {
      this.#asking = false;
    }
  }

  #connected(connected, error) {
    const keyless = error?.status === 401;
    const words = connected ? "Live" : keyless ? "A key is needed" : "Reconnecting…";
    say($("connection"), words);
    mark(document.body, "data-away", connected ? null : "");
    show($("forget"), hasKey());
    if (!connected) {
      // It may be another gateway when it is back, with numbers of its own.
      this.#spans.clear();
      this.#historyAt = null;
      this.#signature = "";
    }
    if (keyless) {
      const ask = () => request("/swapgate/state").catch(() => {});
      this.#toast.show(error.message, { label: "Enter a key", act: ask });
    }
  }

  async #act(name, verb) {
    try {
      const response = await request(path(name, verb), { method: "POST" });
      const { phase } = await response.json();
      this.#toast.show(DONE[verb](name, phase));
    } catch (error) {
      this.#toast.show(error.message);
    }
  }
}

const DONE = {
  load: (name) => `${name} is ready`,
  unload: (name) => `${name} is unloaded`,
  pin: (name, phase) =>
    phase === "ready" ? `${name} stays up until it is unpinned` : `Once loaded, ${name} stays up`,
  unpin: (name) => `${name} is not pinned any more`,
};

/** The path of one of a model's resources; a slash in its name stays one. */
function path(name, what) {
  return `/swapgate/models/${encodeURIComponent(name).replaceAll("%2F", "/")}/${what}`;
}
