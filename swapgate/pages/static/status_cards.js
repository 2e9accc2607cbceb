/**
 * The models' cards: what each does, needs and waits for, and what can be done with it.
 */

import { el } from "./dom.js";
import { Keyed, mark, say, show } from "./status_nodes.js";
import {
  blockedWords,
  clock,
  errorParts,
  factWords,
  gigabytes,
  phaseWords,
} from "./status_words.js";

/**
 * @typedef {{act: (name: string, verb: string) => Promise<void>,
 *   readLog: (name: string) => void}} Actions
 */

export class Cards {
  #cards;

  /**
   * @param {HTMLElement} box
   * @param {Actions} actions
   */
  constructor(box, actions) {
    const list = el("ul", { class: "cards" });
    box.append(list);
    this.#cards = new Keyed(
      list,
      (model) => model.name,
      (model) => new Card(model, actions),
    );
  }

  /**
   * @param {object} state of /swapgate/state
   * @param {number} laterS since that state
   * @param {number} nowS
   */
  draw(state, laterS, nowS) {
    this.#cards.draw(state.models, (card, model) => {
      card.draw(model, laterS, nowS, blockedWords(model, state));
    });
  }
}

class Card {
  #dot = el("span", { class: "dot" });
  #memory = el("span", { class: "card-memory" });
  #phase = el("p", { class: "card-phase" });
  #progress = el("progress", { max: "1", hidden: true });
  #facts = el("ul", { class: "card-facts" });
  #factRows = new Keyed(
    this.#facts,
    (_, index) => index,
    () => ({ node: el("li") }),
  );
  #rate = el("p", { class: "card-rate" });
  #error = el("div", { class: "card-error", hidden: true });
  #errorText = el("p");
  #errorWhen = el("span");
  #details = el("pre", { tabindex: "0" });
  #detailsBox = el("details", {}, el("summary", { text: "What the daemon said" }), this.#details);
  #load;
  #pin;
  #log;
  #resident = false;
  #busy = null;

  constructor(model, { act, readLog }) {
    const { name } = model;
    const button = (pressed, props = {}) => el("button", { type: "button", on: { click: pressed }, ...props });
    const doing = (verb) => async () => {
      this.#busy = verb;
      this.#drawButtons();
      try {
        await act(name, verb);
      } finally {
        this.#busy = null;
        this.#drawButtons();
      }
    };
    this.#load = button(() => doing(this.#resident ? "unload" : "load")());
    this.#pin = button(() => doing(this.#pin.getAttribute("aria-pressed") === "true" ? "unpin" : "pin")(), {
      "aria-label": `Pin ${name}`,
      "aria-pressed": "false",
      text: "Pin",
      title: "Pinned, it is neither evicted for another model nor unloaded when idle",
    });
    this.#log = button(() => readLog(name), { "aria-label": `Log of ${name}`, text: "Log" });
    this.#progress.setAttribute("aria-label", `Load of ${name}`);
    const aliases = model.aliases.length ? `also ${model.aliases.join(", ")}` : "";
    this.#error.append(this.#errorText, this.#detailsBox);
    this.node = el(
      "li",
      { class: "card", dataset: { model: name } },
      el("div", { class: "card-head" }, this.#dot, el("h3", { text: name }), this.#memory),
      aliases ? el("p", { class: "card-aliases", text: aliases }) : null,
      this.#phase,
      this.#progress,
      this.#facts,
      this.#rate,
      this.#error,
      el("div", { class: "card-buttons" }, this.#load, this.#pin, this.#log),
    );
    this.#name = name;
  }

  #name;

  draw(model, laterS, nowS, blocked) {
    const { phase, load } = model;
    mark(this.#dot, "data-phase", phase);
    mark(this.node, "data-phase", phase);
    say(this.#memory, model.memory_bytes === null ? "" : gigabytes(model.memory_bytes));
    say(this.#phase, phaseWords(model, laterS, nowS));
    const loading = phase === "starting";
    show(this.#progress, loading);
    if (loading) {
      const value = load.estimate_s
        ? String(Math.min(((load.elapsed_s ?? 0) + laterS) / load.estimate_s, 0.99).toFixed(3))
        : null;
      mark(this.#progress, "value", value);
    }
    const facts = factWords(model, laterS, blocked);
    this.#factRows.draw(facts, (row, fact) => say(row.node, fact));
    this.drawRate(model.tokens_per_s);
    this.#drawError(model.last_error, phase);
    this.#resident = phase !== "stopped" && phase !== "failed";
    mark(this.#pin, "aria-pressed", String(model.pin));
    say(this.#pin, model.pin ? "Pinned" : "Pin");
    show(this.#log, model.log);
    this.#drawButtons();
  }

  drawRate(perS) {
    say(this.#rate, perS ? `${perS.toFixed(1)} tokens/s` : "");
  }

  #drawButtons() {
    const verb = this.#busy ?? (this.#resident ? "unload" : "load");
    const going = this.#busy === "load" ? "Loading…" : this.#busy === "unload" ? "Unloading…" : null;
    const words = this.#resident ? "Unload" : "Load";
    say(this.#load, going ?? words);
    mark(this.#load, "aria-label", `${going ?? words} ${this.#name}`);
    const waits = this.#busy !== null && verb === this.#busy;
    if (this.#load.disabled !== waits) this.#load.disabled = waits;
  }

  #drawError(error, phase) {
    show(this.#error, error !== null);
    if (error === null) return;
    const { summary, details } = errorParts(error.message);
    const when = phase === "failed" ? "" : `At ${clock(error.at)}: `;
    say(this.#errorText, when + summary);
    show(this.#detailsBox, details !== "");
    say(this.#details, details);
    mark(this.#error, "data-past", phase === "failed" ? null : "");
  }
}
