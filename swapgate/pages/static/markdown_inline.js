/**
 * Markdown's inline marks: emphasis, code, links, mathematics, line breaks.
 *
 * Pure: text in, a flat list of tokens out, in which marks that enclose something are
 * an "open" and a "close". Time is linear in the text: what could be looked for again
 * and again is looked for once, or not beyond a bound.
 *
 * HTML is text, but for <br>. An image is a link: nothing is loaded from elsewhere.
 */

import { labelOf } from "./markdown_blocks.js";
import { flanks, pair, PUNCTUATION, runOf } from "./markdown_emphasis.js";
import { readEntity } from "./markdown_entities.js";
import { readTarget, safeAddress, trimmed } from "./markdown_links.js";

const LONGEST_LABEL = 200;
const URL = /https?:\/\/[^\s<>"]+/y;
const AUTOLINK = /<((?:https?|mailto):[^\s<>]{1,2000})>/y;
const MAIL = /<([\w.!#$%&'*+/=?^`{|}~-]{1,64}@[\w.-]{1,250})>/y;
const BREAK = /<br ?\/?>/iy;
const SPECIAL = /[\\`*_~[\]!<&$\nh]/g;

/**
 * @typedef {{type: "text"|"code"|"math", text: string, display?: boolean}
 *   |{type: "break"}|{type: "open", tag: string, href?: string}
 *   |{type: "close"}} Token
 */

/**
 * Read a block's text.
 *
 * @param {string} text
 * @param {Map<string, string>} [links] addresses by the label of their definition
 * @returns {Token[]}
 */
export function readInline(text, links = new Map()) {
  return new Reader(text, links).read();
}

class Reader {
  constructor(text, links) {
    this.text = text;
    this.links = links;
    this.at = 0;
    this.tokens = [];
    this.delimiters = [];
    this.brackets = [];
    this.plain = "";
    this.floor = 0;
  }

  /** @returns {Token[]} */
  read() {
    const { text } = this;
    while (this.at < text.length) {
      SPECIAL.lastIndex = this.at;
      const found = SPECIAL.exec(text);
      const next = found ? found.index : text.length;
      this.plain += text.slice(this.at, next);
      this.at = next;
      if (found && !this.mark(found[0])) {
        this.plain += found[0];
        this.at += 1;
      }
    }
    this.flush();
    pair(this.delimiters, 0);
    return this.flat();
  }

  /** Read what begins with this character; whether it is a mark. */
  mark(char) {
    switch (char) {
      case "\\": return this.escape();
      case "`": return this.code();
      case "$": return this.dollars();
      case "\n": return this.newline();
      case "&": return this.entity();
      case "<": return this.angle();
      case "h": return this.address();
      case "!": return this.text[this.at + 1] === "[" && this.bracket(true);
      case "[": return this.bracket(false);
      case "]": return this.close();
      default: return this.delimiter(char);
    }
  }

  add(token, next) {
    this.flush();
    this.tokens.push(token);
    this.at = next;
    return true;
  }

  flush() {
    if (this.plain) this.tokens.push({ type: "text", text: this.plain });
    this.plain = "";
  }

  escape() {
    const next = this.text[this.at + 1];
    if (next === "\n") return this.add({ type: "break" }, this.at + 2);
    if (next === "(" || next === "[") {
      const end = this.after(next === "(" ? "\\)" : "\\]", this.at + 2);
      if (end >= 0) {
        const text = this.text.slice(this.at + 2, end);
        return this.add({ type: "math", text, display: next === "[" }, end + 2);
      }
    }
    if (!next || !/[!-/:-@[-`{-~]/.test(next)) return false;
    this.plain += next;
    this.at += 2;
    return true;
  }

  /** Where this next stands; what is not there is not looked for again. */
  after(what, from) {
    this.missing ??= new Set();
    if (this.missing.has(what)) return -1;
    const found = this.text.indexOf(what, from);
    if (found < 0) this.missing.add(what);
    return found;
  }

  code() {
    const run = runOf(this.text, this.at);
    const end = this.runs(run, this.at + run);
    if (end < 0) {
      this.plain += "`".repeat(run);
      this.at += run;
      return true;
    }
    let inner = this.text.slice(this.at + run, end).replaceAll("\n", " ");
    if (/^ .*[^ ].* $/.test(inner)) inner = inner.slice(1, -1);
    return this.add({ type: "code", text: inner }, end + run);
  }

  /** Where the next run of so many backticks begins. */
  runs(length, from) {
    if (!this.ticks) {
      this.ticks = new Map();
      for (const { 0: run, index } of this.text.matchAll(/`+/g)) {
        if (!this.ticks.has(run.length)) this.ticks.set(run.length, { at: 0, all: [] });
        this.ticks.get(run.length).all.push(index);
      }
    }
    const ticks = this.ticks.get(length);
    while (ticks && ticks.at < ticks.all.length && ticks.all[ticks.at] < from) ticks.at += 1;
    return ticks?.all[ticks.at] ?? -1;
  }

  dollars() {
    const { text, at } = this;
    if (text[at + 1] === "$") {
      const end = this.after("$$", at + 2);
      if (end < 0) return false;
      return this.add({ type: "math", text: text.slice(at + 2, end), display: true }, end + 2);
    }
    if (!text[at + 1] || /\s/.test(text[at + 1])) return false;
    // "$5 and $10" is no mathematics: what closes follows no space, and no digit follows.
    const end = this.after("$", at + 1);
    if (end < 0 || /[\s\\]/.test(text[end - 1]) || /[\d$]/.test(text[end + 1] ?? "")) {
      return false;
    }
    return this.add({ type: "math", text: text.slice(at + 1, end), display: false }, end + 1);
  }

  newline() {
    const hard = this.plain.endsWith("  ");
    this.plain = this.plain.trimEnd();
    if (hard) return this.add({ type: "break" }, this.at + 1);
    // A text that grows line by line would be copied at each.
    this.flush();
    return false;
  }

  entity() {
    const found = readEntity(this.text, this.at);
    if (!found) return false;
    this.plain += found[0];
    this.at += found[1];
    return true;
  }

  angle() {
    BREAK.lastIndex = AUTOLINK.lastIndex = MAIL.lastIndex = this.at;
    let found = BREAK.exec(this.text);
    if (found) return this.add({ type: "break" }, this.at + found[0].length);
    found = AUTOLINK.exec(this.text) ?? MAIL.exec(this.text);
    if (!found) return false;
    const href = found[1].includes(":") ? found[1] : `mailto:${found[1]}`;
    return this.linked(href, found[1], found[0].length);
  }

  address() {
    if (this.at > 0 && /\w/.test(this.text[this.at - 1])) return false;
    if (!this.text.startsWith("http", this.at)) return false;
    URL.lastIndex = this.at;
    const found = URL.exec(this.text);
    if (!found) return false;
    const said = trimmed(found[0]);
    return this.linked(said, said, said.length);
  }

  linked(href, text, length) {
    this.flush();
    this.tokens.push({ type: "open", tag: "a", href: safeAddress(href) });
    this.tokens.push({ type: "text", text }, { type: "close" });
    this.at += length;
    return true;
  }

  delimiter(char) {
    const run = runOf(this.text, this.at);
    const before = this.at === 0 ? "\n" : this.text.at(this.at - 1);
    const after = this.text[this.at + run] ?? "\n";
    const open = flanks(before, after);
    const close = flanks(after, before);
    this.flush();
    const inWord = char === "_" && open && close;
    const entry = {
      char,
      count: run,
      length: run,
      opens: open && (!inWord || PUNCTUATION.test(before)),
      closes: close && (!inWord || PUNCTUATION.test(after)),
      token: { type: "run", before: [], after: [], char, entry: null },
    };
    entry.token.entry = entry;
    this.tokens.push(entry.token);
    // Of tildes one and two are marks, and they must match.
    if (char !== "~" || run <= 2) this.delimiters.push(entry);
    this.at += run;
    return true;
  }

  bracket(image) {
    this.flush();
    const token = { type: "text", text: image ? "![" : "[" };
    const from = this.at + token.text.length;
    const delimiters = this.delimiters.length;
    this.brackets.push({ token, image, from, delimiters });
    return this.add(token, from);
  }

  close() {
    const opening = this.brackets.pop();
    if (!opening) return false;
    const spent = this.brackets.length < this.floor;
    this.floor = Math.min(this.floor, this.brackets.length);
    if (spent && !opening.image) return false;
    const [href, next] = this.target(opening);
    if (href === null) return false;
    this.flush();
    // What is emphasised inside a link ends in it.
    pair(this.delimiters, opening.delimiters);
    const { token } = opening;
    Object.assign(token, { type: "open", tag: "a", href: safeAddress(href) });
    token.text = opening.image ? "\u{1f5bc}\u00a0" : "";
    this.tokens.push({ type: "close" });
    // There is no link in a link: what was opened before opens none.
    if (!opening.image) this.floor = this.brackets.length;
    this.at = next;
    return true;
  }

  /** The address that follows a closing bracket, and where it ends. */
  target({ from }) {
    const { text, at } = this;
    const found = text[at + 1] === "(" ? readTarget(text, at + 2) : null;
    if (found || this.links.size === 0) return found ?? [null, at];
    const inner = text.slice(from, Math.min(at, from + LONGEST_LABEL));
    const rest = /^\[([^\][]*)\]/.exec(text.slice(at + 1, at + LONGEST_LABEL));
    const href = this.links.get(labelOf(rest?.[1] || inner));
    return [href ?? null, at + 1 + (rest?.[0].length ?? 0)];
  }

  /** Runs of delimiters as the marks that they have become, and the rest of them. */
  flat() {
    const found = [];
    for (const token of this.tokens) {
      if (token.type !== "run") {
        found.push(token);
        if (token.type === "open" && token.text) {
          found.push({ type: "text", text: token.text });
        }
        continue;
      }
      for (const _ of token.before) found.push({ type: "close" });
      const left = token.char.repeat(token.entry.count);
      if (left) found.push({ type: "text", text: left });
      for (const tag of token.after.reverse()) found.push({ type: "open", tag });
    }
    return found;
  }
}
