/**
 * Conversations as files: JSON that can be read again, and Markdown for people.
 */

import { el } from "./dom.js";
import { newId } from "./chat_store.js";

const FORMAT = "swapgate-chat";
const VERSION = 1;
const STATES = new Set(["done", "stopped", "failed", "interrupted"]);
const SAMPLING = ["temperature", "top_p", "top_k", "min_p", "max_tokens", "seed"];

/**
 * @param {{record: object, turns: object[], files: Map<string, string>}[]} all
 * @returns {string} JSON
 */
export function toJSON(all) {
  const conversations = all.map(({ record, turns, files }) => ({
    ...record,
    turns,
    files: Object.fromEntries(files),
  }));
  return JSON.stringify({ format: FORMAT, version: VERSION, conversations }, null, 1);
}

/**
 * @param {{record: object, turns: object[]}} conversation
 * @returns {string} Markdown
 */
export function toMarkdown({ record, turns }) {
  const parts = [`# ${record.title}`];
  if (record.system) parts.push(`> ${record.system.replaceAll("\n", "\n> ")}`);
  for (const { user, answers, chosen } of turns) {
    const names = user.files.map(({ name }) => `(with ${name})`).join(" ");
    parts.push("## You", [user.text, names].filter(Boolean).join("\n\n"));
    for (const answer of answers) {
      const other = answers.length > 1 && answer.id !== chosen ? " (not used)" : "";
      parts.push(`## ${answer.model}${other}`, answer.text || "(no answer)");
    }
  }
  return `${parts.join("\n\n")}\n`;
}

/**
 * Read what `toJSON` has written; ids are new, so nothing is overwritten, and what is
 * not understood is left out.
 *
 * @param {string} text
 * @returns {{record: object, turns: object[],
 *   files: {id: string, conversation: string, data: string}[]}[]}
 * @throws {Error} in words, where it is no such file
 */
export function fromJSON(text) {
  let read;
  try {
    read = JSON.parse(text);
  } catch {
    throw new Error("This file is no JSON.");
  }
  if (read?.format !== FORMAT || !Array.isArray(read.conversations)) {
    throw new Error("This file holds no conversations of this chat.");
  }
  if (read.version !== VERSION) {
    throw new Error("This file is of another version of this chat.");
  }
  return read.conversations.map(conversation).filter(({ turns }) => turns.length);
}

function conversation(read) {
  const given = read ?? {};
  const id = newId();
  const ids = new Map();
  const kept = Object.entries(given.files ?? {}).filter(([, data]) => typeof data === "string");
  const files = kept.map(([old, data]) => {
    const file = { id: newId(), conversation: id, data };
    ids.set(old, file);
    return file;
  });
  const turns = list(given.turns).map((turn, order) => {
    const given = list(turn?.answers);
    const answers = given.map(answerOf);
    const at = given.findIndex((answer) => answer && answer.id === turn.chosen);
    const chosen = answers[at]?.id ?? answers.at(-1)?.id ?? "";
    return { id: newId(), conversation: id, order, user: user(turn?.user, ids), answers, chosen };
  });
  const now = Date.now();
  const record = {
    id,
    title: string(given.title) || "Imported",
    named: given.named === true,
    created: number(given.created) ?? now,
    updated: number(given.updated) ?? now,
    model: string(given.model),
    system: string(given.system),
    sampling: sampling(given.sampling),
  };
  return { record, turns, files };
}

function user(given, ids) {
  const known = list(given?.files).filter((file) => ids.has(file?.id));
  // Any other address of an image the engine would fetch.
  const files = known.filter(
    ({ id, kind }) => kind !== "image" || ids.get(id).data.startsWith("data:image/"),
  );
  const infos = files.map((file) => ({
    id: ids.get(file.id).id,
    name: string(file.name),
    kind: file.kind === "image" ? "image" : "text",
    size: number(file.size) ?? 0,
  }));
  return { text: string(given?.text), files: infos };
}

function answerOf(given) {
  const { state, error, stats, finish, reasoningMs } = given ?? {};
  const said = error && { message: string(error.message), code: string(error.code), status: 0 };
  return {
    id: newId(),
    model: string(given?.model),
    text: string(given?.text),
    reasoning: string(given?.reasoning),
    reasoningMs: number(reasoningMs) ?? 0,
    state: STATES.has(state) ? state : "interrupted",
    finish: string(finish),
    error: said || null,
    stats: stats ? numbers(stats) : undefined,
  };
}

function numbers(stats) {
  const names = "perSecond answerTokens promptTokens knownTokens queueMs loadMs firstMs";
  return Object.fromEntries(names.split(" ").map((name) => [name, number(stats[name])]));
}

function sampling(given) {
  const known = SAMPLING.filter((name) => number(given?.[name]) !== null);
  return Object.fromEntries(known.map((name) => [name, given[name]]));
}

function list(value) {
  return Array.isArray(value) ? value : [];
}

function string(value) {
  return typeof value === "string" ? value : "";
}

function number(value) {
  return Number.isFinite(value) ? value : null;
}

/**
 * Give the user a file.
 *
 * @param {string} name
 * @param {string} text
 * @param {string} type
 */
export function download(name, text, type) {
  const href = URL.createObjectURL(new Blob([text], { type }));
  const safe = name.replace(/[^\p{L}\p{N}._ -]+/gu, "_");
  const link = el("a", { href, download: safe, hidden: true });
  document.body.append(link);
  link.click();
  link.remove();
  // Some browsers begin to read it later.
  setTimeout(() => URL.revokeObjectURL(href), 60_000);
}
