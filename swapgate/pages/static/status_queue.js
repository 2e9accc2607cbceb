/**
 * The queue, and the last swaps: two tables.
 */

import { el } from "./dom.js";
import { Keyed, mark, say, show } from "./status_nodes.js";
import { age, clock, count, duration, waitWords, whyWords } from "./status_words.js";

const SWAPS_SHOWN = 20;

export class Queue {
  #words = el("p");
  #table = new Table("Requests that wait", ["Model", "Waits for", "Kind", "For"]);

  /** @param {HTMLElement} box */
  constructor(box) {
    box.append(this.#words, this.#table.node);
  }

  /**
   * @param {object} state of /swapgate/state
   * @param {number} laterS since that state
   */
  draw({ held, queue, max_held: most }, laterS) {
    const more = held - queue.length;
    say(
      this.#words,
      held
        ? `${count(held, "request")} waiting, of at most ${most}${more > 0 ? `; the first ${queue.length} are` : ""}`
        : "No request waits.",
    );
    this.#table.draw(
      queue.map((entry) => [
        entry.model,
        waitWords(entry),
        entry.stream ? "stream" : "plain answer",
        age(entry.age_s + laterS),
      ]),
    );
  }
}

export class LastSwaps {
  #words = el("p", { text: "None since the start." });
  #table = new Table("The last loads and unloads", ["At", "Model", "What", "Why", "Took"]);

  /** @param {HTMLElement} box */
  constructor(box) {
    box.append(this.#words, this.#table.node);
  }

  /** @param {object} state of /swapgate/state */
  draw({ swaps }) {
    const shown = swaps.slice(-SWAPS_SHOWN).reverse();
    show(this.#words, !shown.length);
    this.#table.draw(
      shown.map((swap) => {
        const ended = swap.outcome && !["ready", "gone"].includes(swap.outcome);
        return [
          clock(swap.began),
          swap.model,
          ended ? `${swap.what}: ${swap.outcome}` : swap.what,
          whyWords(swap),
          swap.duration_s === null ? "under way" : duration(swap.duration_s),
        ];
      }),
    );
  }
}

class Table {
  #rows;

  constructor(label, columns) {
    const head = el("tr", {}, ...columns.map((text) => el("th", { scope: "col", text })));
    const body = el("tbody");
    this.#rows = new Keyed(
      body,
      (_, index) => index,
      () => new Row(columns),
    );
    const table = el("table", {}, el("caption", { class: "unseen", text: label }));
    table.append(el("thead", {}, head), body);
    // It scrolls, by keyboard as well.
    this.node = el("div", { class: "table", tabindex: "0", role: "region", "aria-label": label }, table);
  }

  draw(rows) {
    show(this.node, rows.length > 0);
    this.#rows.draw(rows, (row, cells) => row.draw(cells));
  }
}

class Row {
  #cells;

  constructor(columns) {
    this.#cells = columns.map((label) => el("td", { dataset: { label } }));
    this.node = el("tr", {}, ...this.#cells);
  }

  draw(texts) {
    this.#cells.forEach((cell, n) => say(cell, texts[n]));
    mark(this.node, "data-what", texts[2].split(":")[0]);
  }
}
