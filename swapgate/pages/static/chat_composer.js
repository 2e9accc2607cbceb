/**
 * Where a message is written: text, files, and the button that sends or stops.
 */

import { readFile } from "./chat_files.js";
import { sends } from "./chat_turn.js";
import { el, icon, iconButton } from "./dom.js";

const TALLEST_PX = 320;
const DRAFT = "swapgate.draft";

/**
 * Fires `send` (detail: text and files) and `stop`.
 */
export class Composer extends EventTarget {
  #files = [];
  #busy = false;
  #list = el("ul", { class: "files", "aria-label": "Attached" });
  #area = el("textarea", {
    id: "message",
    "data-main": true,
    rows: "1",
    placeholder: "Message",
    "aria-label": "Message",
    enterkeyhint: "send",
  });
  #input = el("input", { type: "file", multiple: true, hidden: true, "aria-label": "Files" });
  #button = el("button", { type: "button", class: "primary send" });

  /**
   * @param {HTMLElement} place
   * @param {(text: string) => void} complain shows what is wrong with a file
   */
  constructor(place, complain) {
    super();
    this.complain = complain;
    const attach = iconButton("paperclip", "Attach images or text files", () =>
      this.#input.click(),
    );
    const row = el("div", { class: "composer-row" }, attach, this.#area, this.#button);
    place.append(el("div", { class: "composer-box" }, this.#list, row, this.#input));
    this.#input.addEventListener("change", () => {
      this.attach([...this.#input.files]);
      this.#input.value = "";
    });
    this.#area.addEventListener("input", () => this.#grow());
    this.#area.addEventListener("keydown", (event) => {
      if (!sends(event)) return;
      event.preventDefault();
      this.#send();
    });
    this.#area.addEventListener("paste", (event) => {
      const files = [...event.clipboardData.files];
      if (!files.length) return;
      event.preventDefault();
      this.attach(files);
    });
    this.#button.addEventListener("click", () => {
      if (this.#busy) this.dispatchEvent(new Event("stop"));
      else this.#send();
    });
    this.#drops();
    this.busy(false);
    this.restore(sessionStorage.getItem(DRAFT) ?? "", []);
    sessionStorage.removeItem(DRAFT);
  }

  /** The page may be going: what is begun here is there again after a reload. */
  keep() {
    if (this.#area.value) sessionStorage.setItem(DRAFT, this.#area.value);
  }

  /** An answer is on its way, or is not. */
  busy(busy) {
    this.#busy = busy;
    const label = busy ? "Stop" : "Send";
    this.#button.replaceChildren(icon(busy ? "stop" : "send"));
    this.#button.setAttribute("aria-label", label);
    this.#button.title = busy ? "Stop (Esc)" : "Send (Enter)";
  }

  focus() {
    this.#area.focus();
  }

  /** Put back what could not be sent. */
  restore(text, files) {
    this.#area.value = text;
    this.#files = files;
    this.#showFiles();
    this.#grow();
  }

  /** @param {File[]} files */
  async attach(files) {
    for (const file of files) {
      try {
        this.#files.push(await readFile(file));
      } catch (error) {
        this.complain(error.message);
      }
    }
    this.#showFiles();
    this.focus();
  }

  #send() {
    const text = this.#area.value.trim();
    if (this.#busy || (!text && !this.#files.length)) return;
    const detail = { text, files: this.#files };
    this.restore("", []);
    this.dispatchEvent(new CustomEvent("send", { detail }));
  }

  #showFiles() {
    this.#list.hidden = !this.#files.length;
    this.#list.replaceChildren(
      ...this.#files.map((file) => {
        const remove = iconButton("close", `Remove ${file.name}`, () => {
          this.#files = this.#files.filter((each) => each !== file);
          this.#showFiles();
          this.focus();
        });
        const image = file.kind === "image";
        const shown = image ? el("img", { src: file.data, alt: "" }) : icon("file");
        return el("li", {}, shown, el("span", { text: file.name }), remove);
      }),
    );
  }

  #grow() {
    this.#area.style.height = "auto";
    this.#area.style.height = `${Math.min(this.#area.scrollHeight + 2, TALLEST_PX)}px`;
  }

  #drops() {
    const over = (event) => {
      if (![...event.dataTransfer.types].includes("Files")) return;
      event.preventDefault();
      document.body.classList.add("dropping");
    };
    const left = (event) => {
      if (event.type === "drop" || !event.relatedTarget) {
        document.body.classList.remove("dropping");
      }
    };
    window.addEventListener("dragover", over);
    window.addEventListener("dragleave", left);
    window.addEventListener("drop", (event) => {
      left(event);
      if (!event.dataTransfer.files.length) return;
      event.preventDefault();
      this.attach([...event.dataTransfer.files]);
    });
  }
}
