/**
 * A block of code: its language, a button that copies it, and lines that are built once.
 */

import { el, icon } from "./dom.js";
import { grammarOf, readLine } from "./highlight.js";

const COPIED_MS = 2000;

export class CodeView {
  #grammar;
  #whole = el("span");
  #last = el("span");
  #read = 0;
  #open = null;

  /** @param {import("./markdown_blocks.js").Block} block */
  constructor(block) {
    this.block = { ...block, text: "" };
    this.#grammar = grammarOf(block.language);
    const label = block.language || "code";
    const code = el("code", {}, this.#whole, this.#last);
    // It scrolls sideways, by keyboard too.
    const props = { tabindex: "0", role: "region", "aria-label": `Code: ${label}` };
    this.node = el(
      "div",
      { class: "code" },
      el("div", { class: "code-head" }, el("span", { text: label }), this.#copyButton()),
      el("pre", props, code),
    );
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
      this.#whole.replaceChildren();
      this.#read = 0;
      this.#open = null;
    } else if (block.text.length < this.#read) {
      this.#whole.lastChild.remove();
      this.#read -= 1;
    }
    this.block = block;
    this.#show(block.text);
    return true;
  }

  #show(text) {
    const lines = text.slice(this.#read).split("\n");
    const last = lines.pop();
    for (const line of lines) {
      this.#open = this.#append(this.#whole, line);
      this.#whole.append("\n");
      this.#read += line.length + 1;
    }
    this.#last.replaceChildren();
    this.#append(this.#last, last);
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
