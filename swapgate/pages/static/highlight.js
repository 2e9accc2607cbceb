/**
 * Plain highlighting of code: strings, comments, numbers and keywords, line by line.
 *
 * Pure. A line is read with what the line before has left open, so that code that
 * grows is never read again.
 */

const LONGEST_LINE = 2000;
const WORDS = (text) => new Set(text.split(" "));

const C_LIKE =
  "abstract as async await bool boolean break case catch char class const constexpr " +
  "continue crate default defer delete do double dyn else enum export extends extern " +
  "false final finally float fn for from func function go goto if impl implements " +
  "import in inline instanceof int interface internal let long loop match mod move mut " +
  "namespace new nil null nullptr of operator override package private protected pub " +
  "public range readonly ref return self short signed static struct super switch " +
  "template this throw throws trait true try type typedef typeof undefined union " +
  "unsafe unsigned use using val var virtual void volatile when where while with yield";
const PYTHON =
  "False None True and as assert async await break case class continue def del elif " +
  "else except finally for from global if import in is lambda match nonlocal not or " +
  "pass raise return self try while with yield";
const SHELL =
  "case do done elif else esac export fi for function if in local return set shift " +
  "source sudo then until while cd echo exit";
const SQL =
  "add all alter and as asc between by case create cross delete desc distinct drop " +
  "else end exists false from full group having in index inner insert into is join key " +
  "left like limit not null offset on or order outer primary references right select " +
  "set table then true union unique update using values view when where with";
const OTHERS =
  "and begin break case class def do done else elsif elseif end ensure false for " +
  "foreach function if in let local module next nil not null or redo rescue return " +
  "self then true undef unless until when while yield";

const BLOCK = ["/*", "*/"];
const GRAMMARS = {
  c: { line: ["//"], block: [BLOCK], quotes: "\"'`", words: WORDS(C_LIKE) },
  css: { line: [], block: [BLOCK], quotes: "\"'", words: WORDS("important media import") },
  json: { line: [], block: [], quotes: '"', words: WORDS("true false null") },
  markup: { line: [], block: [["<!--", "-->"]], quotes: "\"'", words: new Set() },
  python: {
    line: ["#"],
    block: [],
    long: ['"""', "'''"],
    quotes: "\"'",
    words: WORDS(PYTHON),
  },
  shell: { line: ["#"], block: [], quotes: "\"'`", words: WORDS(SHELL) },
  sql: { line: ["--"], block: [BLOCK], quotes: "'\"", words: WORDS(SQL), folds: true },
  others: { line: ["#", "--"], block: [], quotes: "\"'", words: WORDS(OTHERS) },
  plain: null,
};
const LANGUAGES = {
  c: "c cc cpp c++ h hpp cs csharp java js javascript jsx mjs ts typescript tsx go " +
    "rust rs swift kotlin kt scala dart php zig objc glsl proto groovy",
  css: "css scss less",
  json: "json jsonc json5",
  markup: "html xml svg vue xhtml",
  python: "python py python3 pyi",
  shell: "bash sh shell zsh fish console makefile make dockerfile docker yaml yml toml " +
    "ini cfg conf nginx env r julia perl powershell ps1",
  sql: "sql sqlite mysql postgresql plsql",
  others: "ruby rb lua haskell hs elixir ex elm ada",
};
const BY_NAME = new Map(
  Object.entries(LANGUAGES).flatMap(([kind, names]) =>
    names.split(" ").map((name) => [name, GRAMMARS[kind]]),
  ),
);

/**
 * What a language's lines are read by; null for one that is not known, or no code.
 *
 * @param {string} language as a fence names it
 * @returns {object|null}
 */
export function grammarOf(language) {
  return BY_NAME.get(language.toLowerCase()) ?? null;
}

/**
 * Read a line.
 *
 * @param {object|null} grammar
 * @param {string} line
 * @param {{end: string, kind: string}|null} open what an earlier line has left open
 * @returns {{pieces: [string, string][], open: {end: string, kind: string}|null}} pieces
 *   of text, each with its kind: "", "string", "comment", "number" or "keyword"
 */
export function readLine(grammar, line, open) {
  if (!grammar || line.length > LONGEST_LINE) return { pieces: [["", line]], open: null };
  return new LineReader(grammar, line).read(open);
}

class LineReader {
  constructor(grammar, line) {
    this.grammar = grammar;
    this.line = line;
    this.at = 0;
    this.pieces = [];
  }

  read(open) {
    let left = open ? this.until(open) : null;
    while (!left && this.at < this.line.length) left = this.next();
    return { pieces: this.pieces, open: left };
  }

  take(kind, end) {
    const text = this.line.slice(this.at, end);
    const last = this.pieces.at(-1);
    if (last && last[0] === kind) last[1] += text;
    else if (text) this.pieces.push([kind, text]);
    this.at = end;
    return null;
  }

  /** Take what ends with this; what is open yet at the line's end. */
  until(open, from = this.at) {
    const end = this.line.indexOf(open.end, from);
    this.take(open.kind, end < 0 ? this.line.length : end + open.end.length);
    return end < 0 ? open : null;
  }

  next() {
    const { grammar, line, at } = this;
    const char = line[at];
    const starts = (mark) => line.startsWith(mark, at);
    if (grammar.line.some((mark) => starts(mark) && this.isComment(mark))) {
      return this.take("comment", line.length);
    }
    const block = grammar.block.find(([begin]) => starts(begin));
    if (block) return this.until({ end: block[1], kind: "comment" }, at + block[0].length);
    const long = grammar.long?.find(starts);
    if (long) return this.until({ end: long, kind: "string" }, at + long.length);
    if (grammar.quotes.includes(char)) return this.string(char);
    if (/\d/.test(char)) return this.take("number", this.matched(/[\w.]+/y));
    if (/[\p{L}_$]/u.test(char)) return this.word();
    return this.take("", at + 1);
  }

  isComment(mark) {
    // Not $#, and no fragment of an address.
    return mark !== "#" || this.at === 0 || /\s/.test(this.line[this.at - 1]);
  }

  string(quote) {
    let end = this.at + 1;
    while (end < this.line.length && this.line[end] !== quote) {
      end += this.line[end] === "\\" ? 2 : 1;
    }
    if (end >= this.line.length) {
      // Of strings only those between backticks go on; an apostrophe is none.
      if (quote === "`") return this.until({ end: "`", kind: "string" }, this.at + 1);
      return this.take(quote === "'" ? "" : "string", quote === "'" ? this.at + 1 : this.line.length);
    }
    return this.take("string", end + 1);
  }

  word() {
    const end = this.matched(/[\p{L}\p{N}_$]+/uy);
    const word = this.line.slice(this.at, end);
    const known = this.grammar.words.has(this.grammar.folds ? word.toLowerCase() : word);
    return this.take(known ? "keyword" : "", end);
  }

  matched(pattern) {
    pattern.lastIndex = this.at;
    return pattern.exec(this.line) ? pattern.lastIndex : this.at + 1;
  }
}
