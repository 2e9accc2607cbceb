/**
 * The last lines of a daemon's log, and those that come.
 */

import { el, replace } from "./dom.js";
import { events } from "./gateway.js";
import { say, show } from "./status_nodes.js";
import { clock } from "./status_words.js";

const KEPT = 2000;
// So near its end the log follows what comes.
const NEAR = 24;

export class Log {
  #box;
  #title;
  #words = el("p", { role: "status" });
  #lines = el("pre", { class: "log", tabindex: "0", role: "log", "aria-live": "off" });
  #over = null;
  #last = 0;
  #anew = true;
  #opener = null;

  /**
   * @param {HTMLElement} box hidden as long as none is read
   * @param {HTMLElement} title in it
   */
  constructor(box, title) {
    this.#box = box;
    this.#title = title;
    const close = el("button", { type: "button", text: "Close", on: { click: () => this.close() } });
    this.#box.append(this.#words, this.#lines, el("div", { class: "card-buttons" }, close));
    this.#box.addEventListener("keydown", (event) => event.key === "Escape" && this.close());
  }

  /**
   * Read this model's from now on.
   *
   * @param {string} name
   * @param {string} path
   */
  open(name, path) {
    this.#over?.abort();
    const over = new AbortController();
    this.#over = over;
    this.#opener ??= document.activeElement;
    replace(this.#lines);
    this.#lines.setAttribute("aria-label", `Log of ${name}`);
    say(this.#title, `Log of ${name}`);
    say(this.#words, "");
    show(this.#box, true);
    this.#title.focus();
    this.#title.scrollIntoView({ block: "start" });
    this.#anew = true;
    events(path, {
      signal: over.signal,
      onEvent: (data, event) => event === "log" && this.#heard(data),
      onConnected: (connected, error) => {
        if (connected) say(this.#words, "");
        else {
          // What is kept still comes again, of this daemon or of the next one.
          this.#anew = true;
          say(this.#words, error ? error.message : "Reconnecting…");
          if (error?.code === "no_log" || error?.status === 404) over.abort();
        }
      },
    });
  }

  close() {
    this.#over?.abort();
    show(this.#box, false);
    this.#opener?.focus();
    this.#opener = null;
  }

  #heard({ lines, missed }) {
    const box = this.#lines;
    const follows = box.scrollHeight - box.scrollTop - box.clientHeight < NEAR;
    const first = this.#anew;
    if (this.#anew) {
      this.#anew = false;
      this.#last = 0;
      replace(box);
    }
    const made = document.createDocumentFragment();
    if (missed && !first) made.append(line(`… ${missed} lines were missed`, "log-own"));
    for (const { number, at, text } of lines) {
      if (number <= this.#last) continue;
      this.#last = number;
      made.append(line(`${clock(at)} ${text}`, text.startsWith("[swapgate]") ? "log-own" : null));
    }
    box.append(made);
    while (box.childElementCount > KEPT) box.firstElementChild.remove();
    if (!box.childElementCount) say(this.#words, "It has written nothing so far.");
    else say(this.#words, "");
    if (follows) box.scrollTop = box.scrollHeight;
  }
}

function line(text, kind) {
  return el("span", { class: kind, text: `${text}\n` });
}
