/**
 * The spans of the last hour, joined from what the gateway tells bit by bit. Pure.
 *
 * @typedef {{key: string, model: string, phase: string, began: number,
 *   ended: number|null, cause: string, waiting: object[], requests?: number,
 *   longest_s?: number}} Span `phase` is "waiting" for a time in which requests waited;
 *   `ended` is null while it goes on
 */

export const HOUR_S = 3600;

export class Spans {
  #byKey = new Map();

  /** Forget all: another gateway tells from now on, or the same after its start. */
  clear() {
    this.#byKey.clear();
  }

  /**
   * Take over what /swapgate/history told; what is known already is replaced.
   *
   * @param {{phases: object[], waits: object[], at: number}} told
   */
  join({ phases, waits, at }) {
    for (const span of phases) {
      // A model that is not up shows as a gap.
      if (span.phase !== "stopped") this.#keep({ ...span, key: `phase ${span.number}` });
    }
    for (const span of waits) {
      const key = `wait ${span.model} ${span.number}`;
      this.#keep({ ...span, key, phase: "waiting", cause: "", waiting: [] });
    }
    for (const [key, { ended }] of this.#byKey) {
      if (ended !== null && ended < at - HOUR_S) this.#byKey.delete(key);
    }
  }

  /** @param {Span} span */
  #keep(span) {
    this.#byKey.set(span.key, span);
  }

  /**
   * @param {number} fromS
   * @returns {Map<string, Span[]>} by model, in the order in which they began
   */
  byModel(fromS) {
    const found = new Map();
    for (const span of this.#byKey.values()) {
      if (span.ended !== null && span.ended < fromS) continue;
      if (!found.has(span.model)) found.set(span.model, []);
      found.get(span.model).push(span);
    }
    for (const spans of found.values()) spans.sort((a, b) => a.began - b.began);
    return found;
  }
}

/**
 * What of a state must have changed for there to be more history.
 *
 * @param {object} state of /swapgate/state
 * @returns {string}
 */
export function signature(state) {
  return state.models
    .map(({ phase, waiting, since }) => `${phase}${waiting ? "w" : ""}${Math.round(since)}`)
    .join(" ");
}
