/**
 * The memory budget as a bar with what is resident in it, and the numbers of all models.
 */

import { el } from "./dom.js";
import { Keyed, mark, say } from "./status_nodes.js";
import { count, gigabytes, PHASES } from "./status_words.js";

export class Memory {
  #words = el("p", { class: "memory-words" });
  #bar = el("div", { class: "memory-bar", "aria-hidden": "true" });
  #parts;
  #numbers = el("p", { class: "memory-numbers" });

  /** @param {HTMLElement} box */
  constructor(box) {
    box.append(this.#words, this.#bar, this.#numbers);
    this.#parts = new Keyed(this.#bar, (part) => part.name, () => new Part());
  }

  /** @param {object} state of /swapgate/state */
  draw(state) {
    const { budget, models } = state;
    const resident = models.filter(({ phase }) => phase !== "stopped" && phase !== "failed");
    const counted = budget.bytes !== null;
    const parts = resident
      .filter((model) => !counted || model.memory_bytes)
      .map((model) => ({ ...model, share: counted ? model.memory_bytes : 1 }));
    const freeBytes = counted ? budget.bytes - budget.used_bytes : resident.length ? 0 : 1;
    if (freeBytes > 0) {
      const free = { name: "", phase: "free", share: freeBytes, memory_bytes: freeBytes };
      parts.push(free);
    }
    this.#parts.draw(parts, (part, model) => part.draw(model, counted));
    const names = resident.map((model) => `${model.name} (${PHASES[model.phase]})`).join(", ");
    const used = counted
      ? `${gigabytes(budget.used_bytes)} of ${gigabytes(budget.bytes)} in use`
      : "One model is up at a time";
    say(this.#words, `${used}: ${names || "none is up"}`);
    const inFlight = models.reduce((sum, model) => sum + model.in_flight, 0);
    const perS = models.reduce((sum, model) => sum + model.tokens_per_s, 0);
    const numbers = [
      `${resident.length} of ${count(models.length, "model")} up`,
      `${count(inFlight, "answer")} in flight`,
      `${state.held} waiting`,
      `${perS.toFixed(1)} tokens/s`,
    ];
    say(this.#numbers, numbers.join(" · "));
  }
}

class Part {
  #name = el("span", { class: "memory-name" });
  #size = el("span", { class: "memory-size" });
  #share = 0;
  node = el("div", { class: "memory-part" }, this.#name, this.#size);

  draw(model, counted) {
    if (model.share !== this.#share) {
      this.#share = model.share;
      // No inline style of the markup: the policy lets a script set one.
      this.node.style.flexGrow = model.share;
    }
    mark(this.node, "data-phase", model.phase);
    const size = counted ? gigabytes(model.memory_bytes) : "";
    say(this.#name, model.name || "free");
    say(this.#size, size);
    mark(this.node, "title", `${model.name || "free"} ${size}`.trim());
  }
}
