/**
 * Emphasis: which runs of *, _ and ~ open, which close, and what (CommonMark 0.31, 6.2).
 *
 * @typedef {{char: string, count: number, length: number, opens: boolean,
 *   closes: boolean, token: {before: string[], after: string[]}}} Delimiter `count` is
 *   what is left of its `length`
 */

/** What CommonMark calls a punctuation character. */
export const PUNCTUATION = /[\p{P}\p{S}]/u;

/**
 * How often the character at this place is repeated.
 *
 * @param {string} text
 * @param {number} at
 * @returns {number}
 */
export function runOf(text, at) {
  let end = at + 1;
  while (text[end] === text[at]) end += 1;
  return end - at;
}

/**
 * Whether a run between these two characters may open.
 *
 * @param {string} before
 * @param {string} after
 * @returns {boolean}
 */
export function flanks(before, after) {
  if (/\s/.test(after)) return false;
  return !PUNCTUATION.test(after) || /\s/.test(before) || PUNCTUATION.test(before);
}

/**
 * Pair the delimiters from this one on, and forget them.
 *
 * @param {Delimiter[]} delimiters
 * @param {number} from
 */
export function pair(delimiters, from) {
  const open = [];
  // By kind of closer, below which place there is no opener for it: none is looked at
  // twice in vain.
  const floors = new Map();
  for (const closer of delimiters.splice(from)) {
    if (closer.closes) match(open, closer, floors);
    if (closer.opens && closer.count) open.push(closer);
  }
}

function match(open, closer, floors) {
  while (closer.count) {
    const kind = `${closer.char}${closer.length % 3}${closer.opens}${closer.count === 2}`;
    const floor = floors.get(kind) ?? 0;
    let at = open.length - 1;
    while (at >= floor && !fits(open[at], closer)) at -= 1;
    if (at < floor) {
      floors.set(kind, open.length);
      return;
    }
    const opener = open[at];
    const both = opener.count >= 2 && closer.count >= 2;
    const used = closer.char === "~" ? closer.count : both ? 2 : 1;
    const tag = closer.char === "~" ? "del" : used === 2 ? "strong" : "em";
    opener.token.after.push(tag);
    closer.token.before.push(tag);
    opener.count -= used;
    closer.count -= used;
    // What was opened in between can be closed no more.
    open.length = opener.count ? at + 1 : at;
    for (const [key, value] of floors) floors.set(key, Math.min(value, open.length));
  }
}

function fits(opener, closer) {
  if (opener.char !== closer.char) return false;
  if (opener.char === "~") return opener.count === closer.count;
  // CommonMark 0.31, 6.2, rules 9 and 10.
  const either = opener.closes || closer.opens;
  const sum = opener.length + closer.length;
  return !either || sum % 3 !== 0 || (opener.length % 3 === 0 && closer.length % 3 === 0);
}
