/**
 * Links: where they lead, and whether that may be followed.
 */

const LONGEST_TARGET = 2000;
const MOST_PARENTHESES = 32;
const SCHEMES = /^(?:https?:|mailto:|tel:)/i;

/**
 * The address of a link, if it is of a kind that may be followed.
 *
 * @param {string} href
 * @returns {string|null}
 */
export function safeAddress(href) {
  // Browsers leave control characters out before they look for the scheme.
  const seen = href.replace(/[\u0000-\u0020\u007f]/g, "");
  if (SCHEMES.test(seen)) return seen;
  return null;
}

/**
 * The address, and perhaps a title, after a closing bracket and a parenthesis.
 *
 * @param {string} text
 * @param {number} from
 * @returns {[string, number]|null} the address, and where all of it ends
 */
export function readTarget(text, from) {
  let at = skip(text, from);
  let href = "";
  if (text[at] === "<") {
    const end = text.slice(at, at + LONGEST_TARGET).slice(1).search(/[<>\n]/) + 1;
    if (end < 1 || text[at + end] !== ">") return null;
    href = text.slice(at + 1, at + end);
    at += end + 1;
  } else {
    const begin = at;
    let deep = 0;
    for (; at < text.length && at - begin < LONGEST_TARGET; at += 1) {
      const char = text[at];
      if (char <= " ") break;
      if (char === "\\" && at + 1 < text.length) at += 1;
      else if (char === "(") deep += 1;
      else if (char === ")") {
        if (deep === 0) break;
        deep -= 1;
      }
      if (deep > MOST_PARENTHESES) return null;
    }
    if (deep) return null;
    href = text.slice(begin, at).replace(/\\([!-/:-@[-`{-~])/g, "$1");
  }
  at = skip(text, at);
  if (/["'(]/.test(text[at] ?? "")) {
    // Its title is not shown.
    const closing = text[at] === "(" ? /[()]/ : text[at] === "'" ? /'/ : /"/;
    const end = text.slice(at + 1, at + LONGEST_TARGET).search(closing);
    if (end < 0 || text[at + 1 + end] === "(") return null;
    at = skip(text, at + end + 2);
  }
  return text[at] === ")" ? [href, at + 1] : null;
}

function skip(text, at) {
  while (text[at] === " " || text[at] === "\n") at += 1;
  return at;
}

/**
 * An address in a text, without the punctuation of its sentence.
 *
 * @param {string} address
 * @returns {string}
 */
export function trimmed(address) {
  let end = address.length;
  let open = address.split("(").length - address.split(")").length;
  for (; end > 0; end -= 1) {
    const last = address[end - 1];
    if (last === ")" && open < 0) open += 1;
    else if (!/[.,:;!?'"*_~\]]/.test(last)) break;
  }
  return address.slice(0, end);
}
