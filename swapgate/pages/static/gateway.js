/**
 * The gateway, asked from a page: requests with the API key, and streams of events.
 *
 * 1. The key stands in this browser's localStorage and goes out in a header alone,
 *    never in an address.
 * 2. It is asked for once, when the gateway first wants one; requests that are refused
 *    at the same time wait for the same answer.
 * 3. Streams of events come back by themselves.
 */

import { askForKey } from "./key_dialog.js";
import { readEvents } from "./sse.js";

const KEY = "swapgate.key";
const SILENCE_MS = 40_000;
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 10_000;

/**
 * What the gateway, or the way to it, has refused.
 */
export class GatewayError extends Error {
  /**
   * @param {string} message
   * @param {{status?: number, code?: string, retryAfter?: number}} facts `status` is
   *   0 where no answer came; `retryAfter` is in seconds
   */
  constructor(message, { status = 0, code = "", retryAfter = 0 } = {}) {
    super(message);
    this.name = "GatewayError";
    this.status = status;
    this.code = code;
    this.retryAfter = retryAfter;
  }
}

/** @returns {boolean} whether this browser keeps a key */
export function hasKey() {
  return localStorage.getItem(KEY) !== null;
}

/** Remove the key from this browser. */
export function forgetKey() {
  localStorage.removeItem(KEY);
}

/**
 * Ask the gateway; where it wants a key, ask the user for one, and once more.
 *
 * @param {string} path
 * @param {{method?: string, body?: *, signal?: AbortSignal, quiet?: boolean}} options a
 *   body is sent as JSON; a quiet request asks for no key where the user gave none before
 * @returns {Promise<Response>} one whose status is a success
 * @throws {GatewayError} for any other; an AbortError where `signal` ended it
 */
export async function request(path, { method, body, signal, quiet = false } = {}) {
  for (;;) {
    const sent = localStorage.getItem(KEY);
    const response = await attempt(path, { method, body, signal, key: sent });
    if (response.ok) return response;
    if (response.status !== 401) throw await errorOf(response);
    // Another request may have brought a key meanwhile.
    if (sent !== localStorage.getItem(KEY)) continue;
    if ((quiet && declined) || !(await newKey(sent, signal))) {
      throw await errorOf(response);
    }
  }
}

/**
 * Listen to a stream of events until `signal` ends it: reconnects by itself, at once
 * where the page comes into view, else after a pause that grows.
 *
 * @param {string} path
 * @param {{onEvent: (data: *, name: string) => void, signal: AbortSignal,
 *   onConnected?: (connected: boolean, error: Error|null) => void}} options `data` is
 *   read as JSON
 * @returns {Promise<void>}
 */
export async function events(path, { onEvent, signal, onConnected = () => {} }) {
  let pauseMs = FIRST_PAUSE_MS;
  while (!signal.aborted) {
    let failed = null;
    try {
      for await (const { event, data } of watched(path, signal)) {
        pauseMs = FIRST_PAUSE_MS;
        onConnected(true, null);
        if (event) onEvent(JSON.parse(data), event);
      }
    } catch (error) {
      failed = error;
    }
    if (signal.aborted) return;
    onConnected(false, failed);
    await awake(pauseMs * (0.75 + Math.random() / 2), signal);
    pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS);
  }
}

/**
 * Events and comments of one connection, which counts as dead when it has said nothing
 * for a while: the gateway says something every 15 s.
 */
async function* watched(path, signal) {
  const over = new AbortController();
  const end = () => over.abort();
  signal.addEventListener("abort", end);
  let timer = setTimeout(end, SILENCE_MS);
  const heard = () => {
    clearTimeout(timer);
    timer = setTimeout(end, SILENCE_MS);
  };
  try {
    const response = await request(path, { signal: over.signal, quiet: true });
    yield* readEvents(response.body, heard);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", end);
    end();
  }
}

async function attempt(path, { method, body, signal, key }) {
  const headers = {};
  if (key !== null) headers.Authorization = `Bearer ${key}`;
  if (method === "POST") headers["Content-Type"] = "application/json";
  try {
    return await fetch(path, {
      method: method ?? "GET",
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      signal,
      cache: "no-store",
      credentials: "omit",
      redirect: "error",
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new GatewayError("the gateway cannot be reached", { code: "unreachable" });
  }
}

async function errorOf(response) {
  const retryAfter = Number(response.headers.get("Retry-After")) || 0;
  const text = await response.text().catch(() => "");
  return errorFrom(text, { status: response.status, retryAfter });
}

/**
 * The error that a body, or an event's data, tells of.
 *
 * @param {string} text
 * @param {{status?: number, retryAfter?: number}} facts
 * @returns {GatewayError}
 */
export function errorFrom(text, facts = {}) {
  let said = null;
  try {
    said = JSON.parse(text).error;
  } catch {
    // Not the gateway's: a proxy before it, perhaps.
  }
  const message = said?.message ?? (typeof said === "string" ? said : text);
  const code = String(said?.code ?? said?.type ?? "");
  const kind = /^\d*$/.test(code) ? String(said?.type ?? "") : code;
  const shown = String(message).trim().slice(0, 2000);
  return new GatewayError(shown || `status ${facts.status}`, { ...facts, code: kind });
}

let asking = null;
// The user was asked and gave none.
let declined = false;
const keys = new EventTarget();

/**
 * Ask for a key, and keep it.
 *
 * @param {string|null} refused the one that was sent
 * @param {AbortSignal} [signal] gives up this request, not the question
 * @returns {Promise<boolean>} whether there is a new one
 */
async function newKey(refused, signal) {
  asking ??= askForKey(refused !== null).finally(() => {
    asking = null;
  });
  const key = await asking;
  signal?.throwIfAborted();
  declined = key === null;
  if (declined) return false;
  localStorage.setItem(KEY, key);
  keys.dispatchEvent(new Event("new"));
  return true;
}

/**
 * Wait so long, or until the page comes into view, or there is a key.
 */
function awake(ms, signal) {
  return new Promise((resolve) => {
    const over = () => {
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", seen);
      signal.removeEventListener("abort", over);
      keys.removeEventListener("new", over);
      resolve();
    };
    const seen = () => document.visibilityState === "visible" && over();
    const timer = setTimeout(over, ms);
    document.addEventListener("visibilitychange", seen);
    signal.addEventListener("abort", over);
    keys.addEventListener("new", over);
  });
}
