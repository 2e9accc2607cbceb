/**
 * What the chat says: how a request stands, what an answer took, what went wrong and
 * what to do. Pure.
 *
 * @typedef {{model: string, phase: string, waiting: number, loadingS: number|null,
 *   estimateS: number|null, ahead: number, behind: string|null, stopping: string|null,
 *   answering: string|null}} Standing `behind` whose answer it waits, which other model
 *   stops, and which answers
 */

const LONG_S = 120;

/**
 * How a request that has no answer yet stands.
 *
 * @param {string} model
 * @param {Standing|null} standing null where the gateway does not tell
 * @param {number} sinceS since it was sent
 * @param {string} told what its own stream said of its wait
 * @returns {{text: string, value: number|null}} `value` is from 0 to 1, or null where
 *   the end is not known
 */
export function waitWords(model, standing, sinceS, told) {
  if (!standing) return { text: told ? capital(told) : `Waiting for ${model}`, value: null };
  const { phase, loadingS, estimateS, ahead } = standing;
  const more = ahead ? `, ${ahead} ahead of you` : "";
  if (loadingS !== null && phase === "starting") {
    const of = estimateS ? ` of about ${seconds(Math.ceil(estimateS))}` : "";
    const value = estimateS ? Math.min(loadingS / estimateS, 0.99) : null;
    return { text: `Loading ${model}, ${seconds(loadingS)}${of}${more}`, value };
  }
  if (phase === "ready" && !standing.waiting) {
    const long = sinceS >= 2 ? `, ${seconds(sinceS)}` : "";
    return { text: `${model} reads the prompt${long}`, value: null };
  }
  return { text: `${reason(model, standing)}, ${seconds(sinceS)}${more}`, value: null };
}

function reason(model, { behind, stopping, answering }) {
  if (behind) return `Waiting for an answer of ${behind} to end`;
  if (stopping) return `Waiting for ${stopping} to make room`;
  if (answering) return `Waiting for ${answering}, which answers`;
  return `Waiting for ${model}`;
}

/**
 * What stands under an answer.
 *
 * @param {object} stats see `Stats` of chat_stream.js
 * @returns {[string, string][]} words, and what they mean
 */
export function statsWords(stats) {
  const found = [];
  const add = (text, meaning) => found.push([text, meaning]);
  if (stats.perSecond) add(`${stats.perSecond.toFixed(1)} tokens/s`, "How fast it was written");
  if (stats.answerTokens !== null) add(`${stats.answerTokens} tokens`, "Length of the answer");
  if (stats.promptTokens !== null) {
    const known = stats.knownTokens
      ? `, ${Math.round((100 * stats.knownTokens) / Math.max(1, stats.promptTokens))} % known`
      : "";
    add(
      `prompt ${stats.promptTokens}${known}`,
      "Tokens of the prompt, and how much of it the engine still knew",
    );
  }
  if (stats.queueMs >= 100) add(`waited ${span(stats.queueMs)}`, "In the gateway's queue");
  if (stats.loadMs >= 100) add(`loaded ${span(stats.loadMs)}`, "While the model was loaded");
  if (stats.firstMs) add(`first token ${span(stats.firstMs)}`, "From sending to the first token");
  return found;
}

/**
 * An error in words.
 *
 * @param {{code: string, message: string, status: number}} error
 * @param {string} model
 * @returns {{what: string, remedy: string}}
 */
export function errorWords({ code, message, status }, model) {
  // The code is what an engine, or an imported file, has said.
  const known = Object.hasOwn(ERRORS, code) ? ERRORS[code] : null;
  if (known) return { what: known[0].replaceAll("MODEL", model), remedy: known[1] };
  if (/image input is not supported|mmproj/.test(message)) {
    return {
      what: `${model} cannot see images.`,
      remedy: "Ask another model, or send the message without the image.",
    };
  }
  if (/prefill is incompatible/.test(message)) {
    return {
      what: `${model} thinks before it speaks, and cannot go on in the middle.`,
      remedy: "Let it answer again.",
    };
  }
  if (status === 413) {
    return {
      what: "The message is larger than the gateway takes.",
      remedy: "Send smaller or fewer files, or raise max_body in its configuration.",
    };
  }
  const what = status >= 500 || !status ? "The answer failed." : "The request was refused.";
  return { what, remedy: "The details below say why." };
}

const ERRORS = {
  model_load_failed: [
    "MODEL could not be loaded.",
    "The details say what its daemon said last. Once that is mended, try again; until " +
      "then another model can answer.",
  ],
  model_too_large: [
    "MODEL does not fit into the memory that is left for it.",
    "Choose another model, unpin one on /status, or raise memory_budget.",
  ],
  model_unreachable: [
    "The machine that runs MODEL does not answer.",
    "Look whether it is on, and try again.",
  ],
  model_not_found: ["There is no model MODEL any more.", "Choose another one."],
  model_not_loaded: ["MODEL was not loaded after all.", "Try again."],
  model_unloaded: ["MODEL was unloaded meanwhile.", "Try again: that loads it."],
  model_not_stopped: ["A daemon does not stop.", "See /status for which one, and its log."],
  queue_full: ["Too many requests wait already.", "Try again in a moment."],
  stopping: ["The gateway is stopping.", "Try again when it is back."],
  upstream_failed: [
    "MODEL broke off.",
    "Try again, or go on from what is there; the log on /status may say more.",
  ],
  exceed_context_size_error: [
    "The conversation is longer than MODEL can read.",
    "Begin a new one, shorten this one, or ask a model with a larger context.",
  ],
  invalid_api_key: ["The gateway wants an API key.", "Try again to be asked for it."],
  unreachable: [
    "The gateway cannot be reached.",
    "Look whether it runs, and try again.",
  ],
  cut: [
    "The connection was lost in the middle of the answer.",
    "What came is kept. Go on from there, or try again.",
  ],
};

function seconds(count) {
  if (count < LONG_S) return `${Math.floor(count)} s`;
  return `${Math.floor(count / 60)} min`;
}

function span(ms) {
  return ms < 10_000 ? `${(ms / 1000).toFixed(1)} s` : seconds(ms / 1000);
}

function capital(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
