/**
 * GitHub's tables: a row of heads, a row of dashes, and rows as long as there is a bar.
 */

const MOST_COLUMNS = 200;
const DELIMITERS = /^ {0,3}\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$/;

/**
 * Whether a table begins in this line.
 *
 * @param {string[]} lines
 * @param {number} n
 * @returns {boolean}
 */
export function isTable(lines, n) {
  if (!lines[n].includes("|") || n + 1 >= lines.length) return false;
  if (!DELIMITERS.test(lines[n + 1]) || !/[|:]/.test(lines[n + 1])) return false;
  const head = cells(lines[n]);
  return head.length <= MOST_COLUMNS && head.length === cells(lines[n + 1]).length;
}

/**
 * Read the table that begins in this line.
 *
 * @param {string[]} lines
 * @param {number} first
 * @returns {[import("./markdown_blocks.js").Block, number]} and the line after it
 */
export function readTable(lines, first) {
  const head = cells(lines[first]);
  const align = cells(lines[first + 1]).map((cell) => {
    const [left, right] = [cell.startsWith(":"), cell.endsWith(":")];
    if (left && right) return "center";
    return right ? "right" : left ? "left" : "";
  });
  const rows = [];
  let n = first + 2;
  for (; n < lines.length && lines[n].includes("|"); n += 1) {
    // A short one stays so: many short ones below a wide head would take much room.
    rows.push(cells(lines[n]).slice(0, head.length));
  }
  return [{ type: "table", head, align, rows }, n];
}

/** The cells of a row; a bar after a backslash, or in a span of code, is none of its. */
function cells(line) {
  const text = line.trim();
  const found = [];
  let begin = text[0] === "|" ? 1 : 0;
  let code = false;
  for (let at = begin; at < text.length; at += 1) {
    if (text[at] === "\\") at += 1;
    else if (text[at] === "`") code = !code && text.indexOf("`", at + 1) > 0;
    else if (text[at] === "|" && !code) {
      found.push(text.slice(begin, at));
      begin = at + 1;
    }
  }
  if (begin < text.length) found.push(text.slice(begin));
  return found.map((cell) => cell.trim().replaceAll("\\|", "|"));
}
