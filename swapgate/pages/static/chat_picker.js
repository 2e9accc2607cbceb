/**
 * The model that is asked next: chosen by the address, by the user, or as the last time.
 */

import { el, icon } from "./dom.js";
import { attachMenu } from "./menu.js";

const LAST = "swapgate.model";

/**
 * Fires `change` when another one is chosen.
 */
export class Picker extends EventTarget {
  #models;
  #wanted;
  #dot = el("span", { class: "dot" });
  #name = el("span", { class: "picker-name" });
  #words = el("span", { class: "picker-words" });

  /**
   * @param {HTMLButtonElement} button
   * @param {import("./chat_models.js").Models} models
   */
  constructor(button, models) {
    super();
    this.#models = models;
    this.#wanted =
      new URLSearchParams(location.search).get("model") ?? localStorage.getItem(LAST) ?? "";
    const arrow = icon("chevron");
    button.replaceChildren(this.#dot, this.#name, this.#words, arrow);
    attachMenu(button, () => this.#items(), "Model");
    models.addEventListener("change", () => this.#draw());
    this.#draw();
  }

  /** @returns {string} the name of the model; "" where none is known yet */
  get model() {
    const { names } = this.#models;
    const wanted = this.#models.resolve(this.#wanted);
    // What the address names may be an alias that only the gateway knows.
    return names.includes(wanted) || !names.length ? wanted : names[0];
  }

  /**
   * Choose a model, and remember it.
   *
   * @param {string} name
   */
  choose(name) {
    this.#wanted = name;
    localStorage.setItem(LAST, name);
    this.#draw();
    this.dispatchEvent(new Event("change"));
  }

  #items() {
    return this.#models.names.map((name) => {
      const { phase, words } = this.#models.stateOf(name);
      const act = () => this.choose(name);
      return { label: name, hint: words, phase, checked: name === this.model, act };
    });
  }

  #draw() {
    const { phase, words } = this.#models.stateOf(this.model);
    this.#dot.dataset.phase = phase;
    this.#name.textContent = this.model || "No model";
    this.#words.textContent = words;
  }
}
