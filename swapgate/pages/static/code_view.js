/**
 * A block of code: its language, a button that copies it, and lines that are built once.
 */

import { el, icon } from "./dom.js";
import { grammarOf, readLine } from "./highlight.js";

const COPIED_MS = 2000;
const GROUP = 40;

/**
 * Lines stand in blocks of GROUP: a browser lays out again only that which grows.
 */
export class CodeView {
  #grammar;
  #code = el("code");
  #last = el("span");
  #lines = 0;
  #read = 0;
  #open = null;

  /** @param {import("./markdown_blocks.js").Block} block */
  constructor(block) {
    this.block = { ...block, text: "" };
    this.#grammar = grammarOf(block.language);
    const label = block.language || "code";
    // It scrolls sideways, by keyboard too.
    const props = { tabindex: "0", role: "region", "aria-label": `Code: ${label}` };
    this.node = el(
      "div",
      { class: "code" },
      el("div", { class: "code-head" }, el("span", { text: label }), this.#copyButton()),
      el("pre", props, this.#code),
    );
    this.#group();
    this.update(block);
  }

  /**
   * Show this block instead; false where that wants another view.
   *
   * @param {import("./markdown_blocks.js").Block} block
   * @returns {boolean}
   */
  update(block) {
    const { type, language, text } = this.block;
    if (type !== block.type || language !== block.language) return false;
    // A fence that is half there looks like a line of code.
    if (!`${block.text}\n`.startsWith(text.slice(0, this.#read))) {
      this.#code.replaceChildren();
      this.#read = 0;
      this.#open = null;
      this.#group();
    } else if (block.text.length < this.#read) this.#takeBack();
    this.block = block;
    this.#show(block.text);
    return true;
  }

  #show(text) {
    const lines = text.slice(this.#read).split("\n");
    const last = lines.pop();
    for (const line of lines) {
      const whole = document.createDocumentFragment();
      this.#open = this.#append(whole, line);
      this.#last.before(whole);
      this.#read += line.length + 1;
      this.#lines += 1;
      // A block that ends with an empty line would not show it.
      if (this.#lines < GROUP || !line) this.#last.before("\n");
      else this.#group();
    }
    this.#last.replaceChildren();
    this.#append(this.#last, last);
  }

  /** Begin a group of lines. */
  #group() {
    this.#lines = 0;
    this.#code.append(el("span", { class: "lines" }, this.#last));
  }

  /** There is no line after the last whole one, and so no end of that. */
  #takeBack() {
    const group = this.#last.parentNode;
    if (this.#last.previousSibling) this.#last.previousSibling.remove();
    else {
      group.previousSibling.append(this.#last);
      group.remove();
    }
    this.#read -= 1;
    // It is whole already; only what may follow it is open.
    this.#last.replaceChildren();
  }

  #append(parent, line) {
    const { pieces, open } = readLine(this.#grammar, line, this.#open);
    parent.append(
      ...pieces.map(([kind, text]) => (kind ? el("span", { class: kind, text }) : text)),
    );
    return open;
  }

  #copyButton() {
    const said = el("span", { text: "Copy" });
    const copy = async () => {
      await copyText(this.block.text);
      said.textContent = "Copied";
      setTimeout(() => {
        said.textContent = "Copy";
      }, COPIED_MS);
    };
    const props = { type: "button", class: "copy", on: { click: copy } };
    return el("button", { ...props, "aria-live": "polite" }, icon("copy"), said);
  }
}

/**
 * Put a text into the clipboard; also on a page that came by plain HTTP.
 *
 * @param {string} text
 * @returns {Promise<void>}
 */
export async function copyText(text) {
  if (navigator.clipboard) {
    try {
      await navigator.clipboard.writeText(text);
      return;
    } catch {
      // Not allowed; the old way may be.
    }
  }
  const area = el("textarea", { class: "unseen", "aria-hidden": "true" });
  area.value = text;
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}
