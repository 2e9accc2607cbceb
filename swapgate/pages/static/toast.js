/**
 * A line that tells what was done, and may take it back.
 */

import { el } from "./dom.js";

const SHORT_MS = 4000;
const LONG_MS = 30_000;

export class Toast {
  #place;
  #timer = 0;

  /** @param {HTMLElement} place */
  constructor(place) {
    this.#place = place;
  }

  /**
   * @param {string} text
   * @param {{label: string, act: () => void}|null} action
   */
  show(text, action = null) {
    clearTimeout(this.#timer);
    const act = () => {
      this.#hide();
      action.act();
    };
    const button = action
      ? el("button", { type: "button", text: action.label, on: { click: act } })
      : "";
    this.#place.replaceChildren(el("span", { text }), button);
    this.#place.hidden = false;
    this.#timer = setTimeout(() => this.#hide(), action ? LONG_MS : SHORT_MS);
  }

  #hide() {
    this.#place.hidden = true;
  }
}
