/**
 * The models, each with its state as the gateway's events tell it.
 *
 * Where the events are refused or away, the list of /v1/models is there, and states are
 * unknown.
 */

import { events, request } from "./gateway.js";

const PHASES = {
  stopped: "sleeping",
  starting: "loading",
  ready: "ready",
  draining: "finishing",
  stopping: "stopping",
  failed: "failed",
};

/**
 * Fires `change` when something has.
 */
export class Models extends EventTarget {
  #names = [];
  #state = null;
  #heardMs = 0;

  /** Whether events come; null as long as none was asked for. */
  connected = null;

  /**
   * Listen from now on.
   *
   * @param {AbortSignal} signal
   */
  listen(signal) {
    events("/swapgate/events", {
      signal,
      onEvent: (state, name) => name === "state" && this.#heard(state),
      onConnected: (connected) => {
        if (connected !== this.connected) {
          this.connected = connected;
          this.dispatchEvent(new Event("change"));
        }
        if (!connected && !this.#names.length) this.#list(signal);
      },
    });
  }

  /** @returns {string[]} names, the aliases not among them where that is known */
  get names() {
    return this.#state ? this.#state.models.map((model) => model.name) : this.#names;
  }

  /**
   * The name of a model by its name or an alias; the same where it is not known.
   *
   * @param {string} name
   * @returns {string}
   */
  resolve(name) {
    const found = this.#state?.models.find(
      (model) => model.name === name || model.aliases.includes(name),
    );
    return found?.name ?? name;
  }

  /**
   * @param {string} name
   * @returns {{phase: string, words: string, error: string}} `phase` is "" where it is
   *   unknown
   */
  stateOf(name) {
    const model = this.#model(name);
    if (!model) return { phase: "", words: "", error: "" };
    const error = model.phase === "failed" ? (model.last_error?.message ?? "") : "";
    let words = PHASES[model.phase] ?? model.phase;
    if (model.phase === "stopped" && model.load.estimate_s) {
      words += `, loads in about ${Math.ceil(model.load.estimate_s)} s`;
    } else if (model.in_flight) words += `, ${model.in_flight} answering`;
    return { phase: model.phase, words, error };
  }

  /**
   * How a request for a model that was sent, and has no answer yet, stands.
   *
   * @param {string} name
   * @returns {import("./chat_words.js").Standing|null} null where nothing is known
   */
  standing(name) {
    const model = this.#model(name);
    if (!model) return null;
    const { queue, models } = this.#state;
    const sinceS = (performance.now() - this.#heardMs) / 1000;
    const { elapsed_s: elapsedS, estimate_s: estimateS } = model.load;
    // Models are served in the order of their oldest waiting request.
    const order = [...new Set(queue.map((entry) => entry.model))];
    const before = order.includes(model.name) ? order.slice(0, order.indexOf(model.name)) : [];
    const waiting = new Map(models.map((each) => [each.name, each.waiting]));
    const others = models.filter((each) => each.name !== model.name);
    const stopping = others.find((each) => ["draining", "stopping"].includes(each.phase));
    const answering = others.find((each) => each.in_flight > 0);
    return {
      model: model.name,
      phase: model.phase,
      waiting: model.waiting,
      loadingS: elapsedS === null ? null : elapsedS + sinceS,
      estimateS,
      ahead: before.reduce((sum, each) => sum + (waiting.get(each) ?? 0), 0),
      behind: queue.find((entry) => entry.model === model.name)?.behind ?? null,
      stopping: stopping?.name ?? null,
      answering: answering?.name ?? null,
    };
  }

  #model(name) {
    const resolved = this.resolve(name);
    return this.#state?.models.find((model) => model.name === resolved);
  }

  #heard(state) {
    this.#state = state;
    this.#heardMs = performance.now();
    this.dispatchEvent(new Event("change"));
  }

  async #list(signal) {
    try {
      const listed = await (await request("/v1/models", { signal, quiet: true })).json();
      this.#names = listed.data.map((model) => model.id);
      this.dispatchEvent(new Event("change"));
    } catch {
      // The events will be tried again, and this with them.
    }
  }
}
