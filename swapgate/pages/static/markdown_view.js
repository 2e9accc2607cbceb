/**
 * Markdown as nodes, for a text that grows: only what has changed is built anew.
 *
 * 1. Blocks before the last one at the top are final and never read again.
 * 2. In the last one, whatever is as it was keeps its nodes: items of a list, rows of a
 *    table, lines of code.
 * 3. Marks are no deeper than MAX_MARKS, in a text beyond LONGEST_MARKED there are none,
 *    and what comes after MOST_BLOCKS is shown as it is, so that no text makes a tree
 *    which a browser cannot bear.
 */

import { CodeView } from "./code_view.js";
import { el } from "./dom.js";
import { readBlocks } from "./markdown_blocks.js";
import { readInline } from "./markdown_inline.js";

// What is shown as it was written.
const RAW = new Set(["math", "plain"]);
const MAX_MARKS = 24;
const LONGEST_MARKED = 20_000;
const MOST_BLOCKS = 10_000;

/**
 * A text in an element of its own.
 */
export class MarkdownView {
  #source = "";
  #views = [];
  #links = new Map();

  constructor() {
    /** @type {HTMLElement} */
    this.node = el("div", { class: "markdown" });
  }

  /**
   * Show this text, which usually is the last one and more. One that is whole ends with
   * its last line.
   *
   * @param {string} source
   */
  update(source) {
    if (source === this.#source) return;
    if (!source.startsWith(this.#source)) this.#clear();
    const final = this.#final();
    this.#source = source;
    const from = this.#views[final]?.block.start ?? 0;
    const made = this.#views.slice(0, final).reduce((sum, { block }) => sum + block.size, 0);
    const blocks = readBlocks(source.slice(from), MOST_BLOCKS - made);
    for (const block of blocks) block.start += from;
    const defined = this.#define(blocks);
    const tail = this.#views.splice(final);
    const views = patched(this.node, tail, blocks, this.#links);
    for (const view of views) this.#views.push(view);
    if (defined) this.#relink();
  }

  /** How many blocks are final: the text before. */
  #final() {
    const last = this.#views.length - 1;
    if (last < 1 || this.#views[last - 1].block.type !== "list") return Math.max(0, last);
    // A number below a list may become an item of it.
    const begun = this.#source.slice(this.#views[last].block.start);
    return /^ {0,3}\d{1,9}\s*$/.test(begun) ? last - 1 : last;
  }

  #clear() {
    this.#views = [];
    this.#links.clear();
    this.node.replaceChildren();
  }

  /** Take the definitions whose lines are whole; whether there is a new one. */
  #define(blocks) {
    const known = this.#links.size;
    for (const { type, label, href, start } of blocks) {
      const whole = type === "definition" && this.#source.indexOf("\n", start) >= 0;
      if (whole && !this.#links.has(label)) this.#links.set(label, href);
    }
    return this.#links.size > known;
  }

  /** A definition may be of links above it. */
  #relink() {
    this.#views.forEach(({ block, node }, n) => {
      const end = this.#views[n + 1]?.block.start;
      if (!this.#source.slice(block.start, end).includes("]")) return;
      this.#views[n] = viewOf(block, this.#links);
      node.replaceWith(this.#views[n].node);
    });
  }
}

/** Views of these blocks, at the end of a parent; what has not changed is kept. */
function patched(parent, views, blocks, links) {
  const kept = [];
  blocks.forEach((block, n) => {
    let view = views[n];
    if (!view?.update(block)) {
      const next = viewOf(block, links);
      if (view) view.node.replaceWith(next.node);
      else parent.append(next.node);
      view = next;
    }
    kept.push(view);
  });
  for (const view of views.slice(blocks.length)) view.node.remove();
  return kept;
}

function viewOf(block, links) {
  switch (block.type) {
    case "code": return new CodeView(block);
    case "list": return new ListView(block, links);
    case "quote": return new QuoteView(block, links);
    case "table": return new TableView(block, links);
    default: return new TextView(block, links);
  }
}

/** A paragraph, a heading, mathematics, a rule; also a definition, which is not seen. */
class TextView {
  constructor(block, links) {
    const { type, level, text } = block;
    const tags = { paragraph: "p", rule: "hr", math: "div", definition: "span", plain: "pre" };
    // The page has a heading of its own; the answer's are below it.
    const tag = type === "heading" ? `h${Math.min(level + 2, 6)}` : tags[type];
    this.block = block;
    const props = type === "math" ? { class: "math", tabindex: "0" } : {};
    this.node = el(tag, { ...props, hidden: type === "definition" });
    this.links = links;
    if (RAW.has(type)) this.node.textContent = text;
    else if (text) this.node.append(inline(text, links));
  }

  update(block) {
    if (block.type !== this.block.type || block.level !== this.block.level) return false;
    if (block.text !== this.block.text) {
      if (RAW.has(block.type)) this.node.textContent = block.text;
      else this.node.replaceChildren(inline(block.text, this.links));
    }
    this.block = block;
    return true;
  }
}

class QuoteView {
  constructor(block, links) {
    this.node = el("blockquote");
    this.links = links;
    this.views = [];
    this.update(block);
  }

  update(block) {
    if (block.type !== "quote") return false;
    this.block = block;
    this.views = patched(this.node, this.views, block.blocks, this.links);
    return true;
  }
}

class ListView {
  constructor(block, links) {
    const start = block.ordered && block.first !== 1 ? block.first : null;
    this.node = el(block.ordered ? "ol" : "ul", { start });
    this.links = links;
    this.block = block;
    this.items = [];
    this.#show(block);
  }

  update(block) {
    const { type, ordered, first, tight } = this.block;
    const same = type === block.type && ordered === block.ordered;
    if (!same || first !== block.first || tight !== block.tight) return false;
    this.block = block;
    this.#show(block);
    return true;
  }

  #show({ items, tight }) {
    items.forEach((item, n) => {
      this.items[n] ??= new ItemView(this.node, tight, this.links);
      this.items[n].update(item);
    });
    for (const view of this.items.splice(items.length)) view.node.remove();
  }
}

class ItemView {
  constructor(parent, tight, links) {
    this.node = el("li", { class: tight ? "tight" : null });
    this.links = links;
    this.views = [];
    this.task = null;
    parent.append(this.node);
  }

  update({ blocks, task }) {
    if (task !== this.task) {
      this.node.classList.toggle("task", task !== null);
      this.box?.remove();
      this.box = el("span", { class: "box", text: task === "x" ? "☑ " : "☐ " });
      this.node.prepend(this.box);
      this.task = task;
    }
    this.views = patched(this.node, this.views, blocks, this.links);
  }
}

class TableView {
  constructor(block, links) {
    this.links = links;
    this.block = { ...block, rows: [] };
    this.body = el("tbody");
    const head = el("thead", {}, this.#row(block.head, "th"));
    // Wide ones scroll, by keyboard too.
    const props = { class: "table-box", tabindex: "0", role: "region", "aria-label": "Table" };
    this.node = el("div", props, el("table", {}, head, this.body));
    this.update(block);
  }

  update(block) {
    const { type, head, align } = this.block;
    if (type !== block.type || !same(head, block.head) || !same(align, block.align)) {
      return false;
    }
    const { rows } = block;
    let n = 0;
    while (n < rows.length && n < this.block.rows.length && same(rows[n], this.block.rows[n])) {
      n += 1;
    }
    while (this.body.children.length > n) this.body.lastChild.remove();
    this.block = block;
    for (; n < rows.length; n += 1) this.body.append(this.#row(rows[n], "td"));
    return true;
  }

  #row(cells, tag) {
    const { align } = this.block;
    const row = el("tr");
    cells.forEach((text, n) => {
      const cell = el(tag, { class: align[n] || null });
      cell.append(inline(text, this.links));
      row.append(cell);
    });
    return row;
  }
}

function same(one, other) {
  return one.length === other.length && one.every((text, n) => text === other[n]);
}

/** The nodes of a block's text. */
function inline(text, links) {
  const root = document.createDocumentFragment();
  if (text.length > LONGEST_MARKED) {
    root.append(text);
    return root;
  }
  const open = [root];
  let ignored = 0;
  let said = [];
  const flush = () => {
    if (said.length) open.at(-1).append(said.join(""));
    said = [];
  };
  for (const token of readInline(text, links)) {
    if (token.type === "text") said.push(token.text);
    else if (token.type === "open" && open.length > MAX_MARKS) ignored += 1;
    else if (token.type === "close" && ignored) ignored -= 1;
    else {
      flush();
      if (token.type === "close") open.pop();
      else {
        const node = mark(token);
        open.at(-1).append(node);
        if (token.type === "open") open.push(node);
      }
    }
  }
  flush();
  return root;
}

function mark({ type, text, tag, href, display }) {
  if (type === "break") return el("br");
  if (type === "code") return el("code", { text });
  if (type === "math") return el("span", { class: display ? "math wide" : "math", text });
  if (tag !== "a") return el(tag);
  // What may not be followed is shown, and leads nowhere.
  if (!href) return el("span", { class: "no-link" });
  return el("a", { href, target: "_blank", rel: "noopener noreferrer nofollow" });
}
