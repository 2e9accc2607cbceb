/**
 * Markdown's blocks: paragraphs, headings, lists, quotes, code, tables, mathematics.
 *
 * CommonMark's core and GitHub's tables, read as models write them. Pure: text in,
 * plain objects out. Time is linear in the text: nesting beyond MAX_DEPTH is text, and
 * so is what comes after the last block that may be made.
 */

import { isTable, readTable } from "./markdown_tables.js";

const MAX_DEPTH = 24;

const BLANK = /^[ \t]*$/;
const HEADING = /^ {0,3}(#{1,6})(?:[ \t]+(.*))?$/;
const RULE = /^ {0,3}(?:(?:\*[ \t]*){3,}|(?:-[ \t]*){3,}|(?:_[ \t]*){3,})$/;
const FENCE = /^( {0,3})(`{3,}|~{3,})[ \t]*(.*)$/;
const QUOTE = /^ {0,3}> ?/;
const ITEM = /^([ ]*)([-+*]|\d{1,9}[.)])(?:([ \t]+)(.*))?$/;
const TASK = /^\[([ xX])\][ \t]+/;
const DEFINITION = /^ {0,3}\[([^\][]{1,200})\]:[ \t]*<?([^\s<>]+)>?(?:[ \t]+["'(](.*)["')])?[ \t]*$/;
const MATH = /^ {0,3}(\$\$|\\\[)/;
const CLOSING = { $$: "$$", "\\[": "\\]" };
const UNDERLINE = /^ {0,3}(=+|-+)[ \t]*$/;

/**
 * @typedef {{type: string, start?: number, size?: number, text?: string, level?: number,
 *   language?: string, blocks?: Block[], items?: Item[], ordered?: boolean,
 *   first?: number, tight?: boolean, align?: string[], head?: string[],
 *   rows?: string[][], label?: string, href?: string}} Block
 * @typedef {{blocks: Block[], task: string|null}} Item
 */

// How many more may be made: of one text after the other, as nothing here waits.
let left = 0;

/**
 * Read a text. Of blocks at the top `start` is where the first line begins, and `size`
 * how many blocks they are with those inside.
 *
 * @param {string} text
 * @param {number} [most] so many blocks may be made
 * @returns {Block[]}
 */
export function readBlocks(text, most = Infinity) {
  left = most;
  const lines = text.split("\n");
  const starts = new Array(lines.length);
  let at = 0;
  for (let n = 0; n < lines.length; n += 1) {
    starts[n] = at;
    at += lines[n].length + 1;
    if (lines[n].endsWith("\r")) lines[n] = lines[n].slice(0, -1);
  }
  const blocks = readLines(lines, 0);
  for (const block of blocks) block.start = starts[block.start];
  return blocks;
}

function readLines(lines, depth) {
  const blocks = [];
  let n = 0;
  let before = left;
  const take = (block, next) => {
    left -= 1;
    blocks.push({ ...block, start: n, size: before - left });
    before = left;
    n = next;
  };
  while (n < lines.length) {
    const line = detab(lines[n]);
    let found;
    if (BLANK.test(line)) n += 1;
    else if (left <= 0) {
      take({ type: "plain", text: lines.slice(n).join("\n") }, lines.length);
    }
    else if (line.startsWith("    ")) take(...indentedCode(lines, n));
    else if ((found = FENCE.exec(line)) && isFence(found)) take(...fenced(lines, n, found));
    else if ((found = HEADING.exec(line))) take(heading(found), n + 1);
    else if (RULE.test(line)) take({ type: "rule" }, n + 1);
    else if (depth < MAX_DEPTH && QUOTE.test(line)) take(...quote(lines, n, depth));
    else if (depth < MAX_DEPTH && isItem(line)) take(...list(lines, n, depth));
    else if (isMath(line)) take(...math(lines, n));
    else if (isTable(lines, n)) take(...readTable(lines, n));
    else if ((found = DEFINITION.exec(line))) take(definition(found), n + 1);
    else take(...paragraph(lines, n, depth));
  }
  return blocks;
}

/** The spaces that a line begins with may be tabs, which go to columns of four. */
function detab(line) {
  const end = line.search(/[^ \t]/);
  if (end < 1 || line.lastIndexOf("\t", end - 1) < 0) return line;
  let width = 0;
  for (let at = 0; at < end; at += 1) width += line[at] === "\t" ? 4 - (width % 4) : 1;
  return " ".repeat(width) + line.slice(end);
}

function indentOf(line) {
  const end = line.search(/[^ ]/);
  return end < 0 ? line.length : end;
}

function isFence([, , mark, info]) {
  // A line such as ```code``` is a span.
  return mark[0] === "~" || !info.includes("`");
}

function isItem(line) {
  const found = ITEM.exec(line);
  return found !== null && found[1].length < 4 && !RULE.test(line);
}

/** Whether a line begins a block of its own, which ends a paragraph. */
function interrupts(line, depth) {
  const fence = FENCE.exec(line);
  if (fence && isFence(fence)) return true;
  if (HEADING.test(line) || RULE.test(line) || isMath(line)) return true;
  if (depth >= MAX_DEPTH) return false;
  if (QUOTE.test(line)) return true;
  const item = ITEM.exec(line);
  if (!item || item[1].length > 3 || !item[4]) return false;
  // "1986. What a year" in the middle of a paragraph is no list.
  return !/\d/.test(item[2]) || parseInt(item[2], 10) === 1;
}

function heading([, marks, rest = ""]) {
  const text = rest.trim();
  let end = text.length;
  while (text[end - 1] === "#") end -= 1;
  const closed = end === 0 || text[end - 1] === " ";
  return { type: "heading", level: marks.length, text: closed ? text.slice(0, end).trim() : text };
}

function definition([, label, href]) {
  return { type: "definition", label: labelOf(label), href };
}

/**
 * What a link's label is compared by.
 *
 * @param {string} label
 * @returns {string}
 */
export function labelOf(label) {
  return label.trim().replace(/\s+/g, " ").toLowerCase();
}

function indentedCode(lines, first) {
  const text = [];
  let n = first;
  let end = first;
  for (; n < lines.length; n += 1) {
    const line = detab(lines[n]);
    if (line.startsWith("    ")) end = n + 1;
    else if (!BLANK.test(line)) break;
    text.push(line.slice(4));
  }
  return [{ type: "code", language: "", text: text.slice(0, end - first).join("\n") }, end];
}

function fenced(lines, first, [, indent, mark, info]) {
  const closing = new RegExp(`^ {0,3}\\${mark[0]}{${mark.length},}[ \\t]*$`);
  const strip = new RegExp(`^ {0,${indent.length}}`);
  const text = [];
  let n = first + 1;
  for (; n < lines.length && !closing.test(lines[n]); n += 1) {
    text.push(indent ? lines[n].replace(strip, "") : lines[n]);
  }
  const language = info.trim().split(/[\s{]/, 1)[0];
  return [{ type: "code", language, text: text.join("\n") }, n + 1];
}

/** Whether mathematics begins here that does not end in the middle of the line. */
function isMath(line) {
  const found = MATH.exec(line);
  if (!found) return false;
  const rest = line.slice(found[0].length).trimEnd();
  const end = rest.indexOf(CLOSING[found[1]]);
  return end < 0 || end === rest.length - 2;
}

function math(lines, first) {
  const [begin, opening] = MATH.exec(lines[first]);
  const text = [lines[first].slice(begin.length).trim()];
  const closing = CLOSING[opening];
  let n = first + 1;
  while (!text.at(-1).endsWith(closing) && n < lines.length && !BLANK.test(lines[n])) {
    text.push(lines[n].trimEnd());
    n += 1;
  }
  const whole = text.join("\n").trim();
  const end = whole.endsWith(closing) ? whole.length - 2 : whole.length;
  return [{ type: "math", text: whole.slice(0, end).trim() }, n];
}

function quote(lines, first, depth) {
  const inner = [];
  let lazy = false;
  let n = first;
  for (; n < lines.length; n += 1) {
    const line = detab(lines[n]);
    if (QUOTE.test(line)) {
      inner.push(line.replace(QUOTE, ""));
      lazy = !BLANK.test(inner.at(-1)) && !FENCE.test(inner.at(-1));
    } else if (lazy && !BLANK.test(line) && !interrupts(line, depth)) inner.push(line);
    else break;
  }
  return [{ type: "quote", blocks: readLines(inner, depth + 1) }, n];
}

/** What kind of list an item belongs to: its bullet, or what follows its number. */
function kindOf(marker) {
  return marker.at(-1);
}

function list(lines, first, depth) {
  const [, , marker] = ITEM.exec(detab(lines[first]));
  const kind = kindOf(marker);
  const ordered = marker.length > 1;
  const items = [];
  let tight = true;
  let n = first;
  while (n < lines.length && (left > 0 || n === first)) {
    left -= 1;
    const line = detab(lines[n]);
    const found = ITEM.exec(line);
    if (!found || found[1].length > 3 || kindOf(found[2]) !== kind || RULE.test(line)) break;
    const [inner, next] = item(lines, n, found, depth);
    // Blank lines before another item make the list loose.
    const trailing = inner.length > 0 && BLANK.test(inner.at(-1));
    const task = TASK.exec(inner[0] ?? "");
    if (task) inner[0] = inner[0].slice(task[0].length);
    const blocks = readLines(inner, depth + 1);
    if (looseInside(blocks, inner)) tight = false;
    items.push({ blocks, task: task ? task[1].toLowerCase() : null });
    n = next;
    if (trailing && n < lines.length) {
      const following = ITEM.exec(detab(lines[n]));
      if (following && following[1].length < 4 && kindOf(following[2]) === kind) tight = false;
    }
  }
  const number = ordered ? parseInt(marker, 10) : 1;
  return [{ type: "list", ordered, first: number, tight, items }, n];
}

function looseInside(blocks, lines) {
  return blocks.slice(1).some(({ start }) => BLANK.test(lines[start - 1] ?? "x"));
}

/** The lines of one item without their indent, and where the next begins. */
function item(lines, first, [, indent, marker, space = " ", rest = ""], depth) {
  const width = indent.length + marker.length + (space.length > 4 ? 1 : space.length);
  const inner = [rest === "" ? "" : space.length > 4 ? space.slice(1) + rest : rest];
  let blank = rest === "";
  let n = first + 1;
  for (; n < lines.length; n += 1) {
    const line = detab(lines[n]);
    if (BLANK.test(line)) {
      // An item may begin with one blank line at most.
      if (n === first + 1 && rest === "") return [inner, n];
      blank = true;
      inner.push("");
      continue;
    }
    const deep = indentOf(line);
    // Models often indent what is below "1." by two.
    const below = deep >= indent.length + 2 && ITEM.test(line);
    if (deep >= width || below) inner.push(line.slice(Math.min(deep, width)));
    else if (!blank && !isItem(line) && !interrupts(line, depth)) inner.push(line);
    else break;
    blank = false;
  }
  return [inner, n];
}

function paragraph(lines, first, depth) {
  const text = [lines[first].trimStart()];
  let n = first + 1;
  for (; n < lines.length; n += 1) {
    const line = detab(lines[n]);
    if (BLANK.test(line)) break;
    const underline = UNDERLINE.exec(line);
    if (underline) {
      const level = underline[1][0] === "=" ? 1 : 2;
      return [{ type: "heading", level, text: text.join("\n").trim() }, n + 1];
    }
    if (interrupts(line, depth) || isTable(lines, n)) break;
    text.push(line.trimStart());
  }
  return [{ type: "paragraph", text: text.join("\n").trimEnd() }, n];
}
