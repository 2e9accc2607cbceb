/**
 * What the picture says of models, waits and swaps, in words and numbers. Pure.
 *
 * Times are seconds; those of the gateway are of the epoch.
 */

const GB = 1e9;
const LONG_S = 120;
const HOUR_S = 3600;

/** What each phase is called here, as in the chat. */
export const PHASES = {
  stopped: "sleeping",
  starting: "loading",
  ready: "ready",
  draining: "finishing answers",
  stopping: "stopping",
  failed: "failed",
};

/**
 * @param {number} s
 * @returns {string} such as "< 0.1 s", "0.4 s", "12 s", "3 min", "2 h"
 */
export function duration(s) {
  if (s < 0.05) return "< 0.1 s";
  if (s < 10) return `${Math.max(0, s).toFixed(1)} s`;
  if (s < LONG_S) return `${Math.round(s)} s`;
  if (s < 2 * HOUR_S) return `${Math.round(s / 60)} min`;
  return `${Math.round(s / HOUR_S)} h`;
}

/**
 * The same of what goes on: whole seconds, so that it counts evenly.
 */
export function age(s) {
  return s < LONG_S ? `${Math.max(0, Math.floor(s))} s` : duration(s);
}

/**
 * @param {number} bytes
 * @returns {string} such as "8.2 GB"
 */
export function gigabytes(bytes) {
  return `${(bytes / GB).toFixed(1)} GB`;
}

/**
 * @param {number} epochS
 * @returns {string} the time of day here
 */
export function clock(epochS) {
  const time = new Date(epochS * 1000);
  const two = (n) => String(n).padStart(2, "0");
  return [time.getHours(), time.getMinutes(), time.getSeconds()].map(two).join(":");
}

/**
 * @param {number} n
 * @param {string} one
 * @param {string} many
 */
export function count(n, one, many = `${one}s`) {
  return `${n} ${n === 1 ? one : many}`;
}

/**
 * What a model does now.
 *
 * @param {object} model of /swapgate/state
 * @param {number} laterS since that state
 * @param {number} nowS
 * @returns {string}
 */
export function phaseWords(model, laterS, nowS) {
  const words = PHASES[model.phase] ?? model.phase;
  const sinceS = nowS - model.since;
  if (model.stuck) return `does not stop, ${age(sinceS)} so far: ${model.stuck} is left`;
  switch (model.phase) {
    case "starting": {
      const { elapsed_s: elapsedS, estimate_s: estimateS } = model.load;
      const soFar = age((elapsedS ?? 0) + laterS);
      return estimateS ? `${words}, ${soFar} of about ${duration(estimateS)}` : `${words}, ${soFar}`;
    }
    case "stopped": {
      const estimateS = model.load.estimate_s;
      return estimateS ? `${words}, loads in about ${duration(estimateS)}` : words;
    }
    case "failed": {
      const leftS = (model.retry_in_s ?? 0) - laterS;
      if (leftS > 0) return `${words}, can be tried again in ${age(leftS + 1)}`;
      return `${words}; load it again once the cause below is mended`;
    }
    default:
      return `${words} for ${age(sinceS)}`;
  }
}

/**
 * Further facts of a model that is up, or has to wait; none that are as usual.
 *
 * @param {object} model
 * @param {number} laterS
 * @param {string|null} blocked why it cannot be loaded
 * @returns {string[]}
 */
export function factWords(model, laterS, blocked) {
  const found = [];
  if (model.in_flight) {
    const since = model.answering_s === null ? "" : `, the first for ${age(model.answering_s + laterS)}`;
    found.push(`${count(model.in_flight, "answer")} in flight${since}`);
  }
  if (model.waiting) found.push(`${count(model.waiting, "request")} waiting`);
  if (model.idle_unload_in_s !== null && model.idle_unload_in_s > laterS) {
    found.push(`unloads in ${duration(model.idle_unload_in_s - laterS)} if unused`);
  }
  if (model.max_active !== null) found.push(`at most ${model.max_active} at a time`);
  if (model.preload) found.push("preloaded");
  if (blocked) found.push(blocked);
  return found;
}

/**
 * Why a model cannot be loaded beside what is pinned; null where it can.
 *
 * @param {object} model
 * @param {object} state
 * @returns {string|null}
 */
export function blockedWords(model, { models, budget }) {
  if (model.pin) return null;
  const pinned = models.filter((each) => each.pin && each.name !== model.name);
  if (!pinned.length) return null;
  const names = pinned.map((each) => each.name).join(", ");
  const kept = pinned.reduce((sum, each) => sum + (each.memory_bytes ?? 0), 0);
  const fits = budget.bytes !== null && (model.memory_bytes ?? 0) + kept <= budget.bytes;
  return fits ? null : `no room beside ${names}, which ${pinned.length > 1 ? "are" : "is"} pinned`;
}

/**
 * An error's first lines, which say what to do, and the daemon's own words.
 *
 * @param {string} message
 * @returns {{summary: string, details: string}}
 */
export function errorParts(message) {
  const [summary, ...rest] = message.split("\n");
  return { summary, details: rest.join("\n").trim() };
}

/**
 * What a request in the queue waits for.
 *
 * @param {{model: string, waits_for: {what: string, model: string|null}}} entry
 * @returns {string}
 */
export function waitWords({ model, waits_for: { what, model: other } }) {
  switch (what) {
    case "load":
      return `${model} is loading`;
    case "answer":
      return other === model ? "as many answers as it may give at a time" : `an answer of ${other} to end`;
    case "unload":
      return `${other} to make room`;
    case "stop":
      return `${other}, which does not stop`;
    default:
      return other ? `its turn, after ${other}` : "its turn";
  }
}

/**
 * Who waited, in one line; empty where none did.
 *
 * @param {{model: string, requests: number, longest_s: number}[]} waiting
 */
function waitingWords(waiting) {
  return waiting
    .map(({ model, requests, longest_s: longestS }) => {
      const who = count(requests, "request");
      return `${who} waited for ${model}${longestS >= 0.1 ? `, the first for ${duration(longestS)}` : ""}`;
    })
    .join("; ");
}

/**
 * Why a swap or a phase came about.
 *
 * @param {string} cause
 */
function causeWords(cause) {
  const known = { "asked for": "a request asked for it", unused: "it was idle for too long" };
  return known[cause] ?? cause;
}

/**
 * The same with who waited.
 *
 * @param {{cause: string, waiting: object[]}} what a phase, or a swap
 */
export function whyWords({ cause, waiting }) {
  const waited = waitingWords(waiting);
  // Those who waited are those who asked.
  if (cause === "asked for" && waited) return waited;
  return [causeWords(cause), waited].filter(Boolean).join("; ");
}

/**
 * A span of the timeline, said in full.
 *
 * @param {object} span see `Spans` of status_history.js
 * @param {number} nowS
 * @returns {string[]} lines, the first one its title
 */
export function spanWords(span, nowS) {
  const ended = span.ended ?? nowS;
  const until = span.ended === null ? "now" : clock(span.ended);
  const when = `${clock(span.began)} to ${until}, ${duration(ended - span.began)}`;
  if (span.phase === "waiting") {
    const longest = span.longest_s >= 0.1 ? `, at most ${duration(span.longest_s)} each` : "";
    return [`${span.model}: ${count(span.requests, "request")} waited`, `${when}${longest}`];
  }
  const lines = [`${span.model}: ${PHASES[span.phase] ?? span.phase}`, when];
  const why = whyWords(span);
  if (why) lines.push(`Why: ${why}`);
  return lines;
}
