/**
 * One answer as it comes: text, reasoning, waiting, numbers.
 *
 * The engine's API is OpenAI's; what the gateway adds is in comments of the stream, in
 * headers, and in errors.
 */

import { errorFrom, GatewayError, request } from "./gateway.js";
import { readEvents } from "./sse.js";

// The gateway's own chunks tell of the wait, where `notice = reasoning` is set.
const NOTICE = "chatcmpl-swapgate-";
const WAITED = /^waited ([\d.]+) s, loaded ([\d.]+) s$/;

/**
 * @typedef {{perSecond: number|null, answerTokens: number|null,
 *   promptTokens: number|null, knownTokens: number|null, queueMs: number|null,
 *   loadMs: number|null, firstMs: number|null}} Stats `knownTokens` of the prompt were
 *   in the engine's cache
 */

/**
 * Ask for a chat's answer, and tell what comes.
 *
 * @param {object} body of the request
 * @param {{signal: AbortSignal, onText: (text: string) => void,
 *   onReasoning: (text: string) => void, onWait: (words: string) => void}} options
 * @returns {Promise<{finish: string, stats: Stats}>}
 * @throws {GatewayError} `cut` where the connection ended too early
 */
export async function streamChat(body, { signal, onText, onReasoning, onWait }) {
  const began = performance.now();
  const sent = { ...body, stream: true, stream_options: { include_usage: true } };
  const response = await request("/v1/chat/completions", {
    method: "POST",
    body: sent,
    signal,
  });
  const numbers = new Numbers(began, response.headers);
  const thinking = new Thinking(onText, onReasoning);
  let finish = "";
  let over = false;
  try {
    for await (const { comment, data } of readEvents(response.body)) {
      if (comment !== undefined) {
        const words = comment.startsWith("swapgate: ") ? comment.slice(10) : "";
        if (words && !numbers.waited(words)) onWait(words);
        continue;
      }
      if (data === "[DONE]") {
        over = true;
        continue;
      }
      const chunk = read(data);
      if (chunk.error) throw errorFrom(data);
      numbers.take(chunk);
      const choice = chunk.choices?.[0];
      if (!choice) continue;
      const { content, reasoning_content: first, reasoning = first } = choice.delta ?? {};
      if (String(chunk.id).startsWith(NOTICE)) {
        if (reasoning) onWait(reasoning.trim());
        continue;
      }
      if (reasoning) onReasoning(reasoning);
      if (content) thinking.take(content);
      if (reasoning || content) numbers.token();
      finish = choice.finish_reason ?? finish;
    }
  } catch (error) {
    thinking.end();
    if (signal.aborted || error instanceof GatewayError) throw error;
    throw new GatewayError("the connection was lost", { code: "cut" });
  }
  thinking.end();
  // Not every engine says [DONE]; what breaks off is no orderly end of the connection.
  if (!over && !finish && !numbers.any) {
    throw new GatewayError("nothing was answered", { code: "cut" });
  }
  return { finish, stats: numbers.stats() };
}

function read(data) {
  try {
    return JSON.parse(data);
  } catch {
    throw new GatewayError(`this is no JSON: ${data.slice(0, 200)}`);
  }
}

/** What the engine and the gateway tell of an answer's cost. */
class Numbers {
  #began;
  #first = 0;
  #last = 0;
  #tokens = 0;
  #usage = null;
  #timings = null;
  #queueMs;
  #loadMs;

  constructor(began, headers) {
    this.#began = began;
    const ms = (name) => (headers.has(name) ? Number(headers.get(name)) : null);
    this.#queueMs = ms("X-Swapgate-Queue-Ms");
    this.#loadMs = ms("X-Swapgate-Load-Ms");
  }

  /** Whether these words are how long it waited, of an answer whose headers were sent. */
  waited(words) {
    const found = WAITED.exec(words);
    if (!found) return false;
    this.#queueMs = Number(found[1]) * 1000;
    this.#loadMs = Number(found[2]) * 1000;
    return true;
  }

  take({ usage, timings }) {
    this.#usage = usage ?? this.#usage;
    this.#timings = timings ?? this.#timings;
  }

  /** @returns {boolean} whether anything was said */
  get any() {
    return this.#tokens > 0;
  }

  token() {
    this.#last = performance.now();
    this.#first ||= this.#last;
    this.#tokens += 1;
  }

  stats() {
    const [usage, timings] = [this.#usage ?? {}, this.#timings ?? {}];
    const known = timings.cache_n ?? usage.prompt_tokens_details?.cached_tokens ?? null;
    const read = timings.prompt_n === undefined ? null : timings.prompt_n + (known ?? 0);
    const tookS = (this.#last - this.#first) / 1000;
    const measured = this.#tokens > 1 && tookS > 0 ? (this.#tokens - 1) / tookS : null;
    return {
      perSecond: timings.predicted_per_second ?? measured,
      answerTokens: usage.completion_tokens ?? timings.predicted_n ?? null,
      promptTokens: usage.prompt_tokens ?? read,
      knownTokens: known,
      queueMs: this.#queueMs,
      loadMs: this.#loadMs,
      firstMs: this.#first ? this.#first - this.#began : null,
    };
  }
}

/** Reasoning that an engine leaves in the text, between <think> and </think>. */
class Thinking {
  #onText;
  #onReasoning;
  #held = "";
  #mode = "begin";

  constructor(onText, onReasoning) {
    this.#onText = onText;
    this.#onReasoning = onReasoning;
  }

  take(text) {
    if (this.#mode === "text") {
      this.#onText(text);
      return;
    }
    this.#held += text;
    if (this.#mode === "begin") this.#begin();
    if (this.#mode === "think") this.#think();
  }

  end() {
    const held = this.#held;
    this.#held = "";
    if (!held) return;
    if (this.#mode === "think") this.#onReasoning(held);
    else this.#onText(held);
  }

  #begin() {
    const said = this.#held.trimStart();
    if ("<think>".startsWith(said.slice(0, 7)) && said.length < 7) return;
    if (said.startsWith("<think>")) {
      this.#mode = "think";
      this.#held = said.slice(7);
    } else {
      this.#mode = "text";
      this.end();
    }
  }

  #think() {
    const end = this.#held.indexOf("</think>");
    // The end may be there by half.
    const safe = end < 0 ? Math.max(0, this.#held.length - 8) : end;
    if (safe) this.#onReasoning(this.#held.slice(0, safe));
    this.#held = this.#held.slice(safe);
    if (end < 0) return;
    this.#held = this.#held.slice(8).trimStart();
    this.#mode = "text";
    this.end();
  }
}
