/**
 * A turn as it is seen: what was said, and its answers, side by side where there are two.
 */

import { AnswerView } from "./chat_answer.js";
import { el, icon, iconButton } from "./dom.js";

/**
 * What a turn's buttons do.
 *
 * @typedef {{resend: (turn: object, text: string) => void,
 *   again: (turn: object, model: string) => void,
 *   retry: (turn: object, answer: object) => void,
 *   goOn: (turn: object, answer: object) => void,
 *   choose: (turn: object, answer: object) => void,
 *   copy: (text: string) => void,
 *   models: import("./chat_models.js").Models}} Actions
 */

export class TurnView {
  #turn;
  #files;
  #actions;
  #answers = new Map();
  #user = el("section", { class: "user", "aria-label": "You" });
  #columns = el("div", { class: "answers" });

  /**
   * @param {import("./chat_store.js").Turn} turn
   * @param {Map<string, string>} files
   * @param {Actions} actions
   */
  constructor(turn, files, actions) {
    this.#turn = turn;
    this.#files = files;
    this.#actions = actions;
    this.node = el("article", { class: "turn" }, this.#user, this.#columns);
    this.#showUser();
    this.update();
  }

  /** Show the answers that there are. */
  update() {
    const { answers, chosen } = this.#turn;
    const known = this.#answers.size;
    for (const answer of answers) {
      if (!this.#answers.has(answer.id)) {
        const view = new AnswerView(this.#turn, answer, this.#actions);
        this.#answers.set(answer.id, view);
        this.#columns.append(view.node);
      }
    }
    this.#columns.classList.toggle("several", answers.length > 1);
    // The newest is the one that was asked for.
    if (this.#answers.size > known) this.#columns.scrollLeft = this.#columns.scrollWidth;
    for (const view of this.#answers.values()) view.show(answers.length > 1, chosen);
    // Beside a long one, whose end is looked at, it would begin out of sight.
    if (known && this.#answers.size > known) this.#answers.get(answers.at(-1).id).reveal();
  }

  /** The wait goes on. */
  tick() {
    for (const view of this.#answers.values()) view.tick();
  }

  /**
   * One answer has changed.
   *
   * @param {string} id
   */
  refresh(id) {
    this.#answers.get(id)?.refresh();
  }

  #showUser() {
    const { text, files } = this.#turn.user;
    const buttons = el(
      "div",
      { class: "tools" },
      iconButton("copy", "Copy message", () => this.#actions.copy(text)),
      iconButton("edit", "Edit message", () => this.#edit()),
    );
    const shown = files.length ? el("ul", { class: "files" }) : null;
    shown?.append(...files.map((file) => this.#file(file)));
    const said = text ? el("p", { class: "said", text }) : null;
    this.#user.replaceChildren(el("div", { class: "bubble" }, shown, said), buttons);
  }

  #file({ id, name, kind }) {
    const data = this.#files.get(id) ?? "";
    const image = kind === "image" && data.startsWith("data:image/");
    const shown = image ? el("img", { src: data, alt: name }) : icon("file");
    return el("li", {}, shown, image ? null : el("span", { text: name }));
  }

  #edit() {
    const area = el("textarea", { "aria-label": "Edit your message", rows: "3" });
    area.value = this.#turn.user.text;
    const back = () => {
      this.#showUser();
      this.#user.querySelector("[aria-label='Edit message']").focus();
    };
    const send = () => {
      const text = area.value;
      if (!text.trim() && !this.#turn.user.files.length) return;
      this.#actions.resend(this.#turn, text);
    };
    area.addEventListener("keydown", (event) => {
      if (event.key === "Escape") {
        event.stopPropagation();
        back();
      } else if (sends(event)) {
        event.preventDefault();
        send();
      }
    });
    const buttons = el(
      "div",
      { class: "dialog-buttons" },
      el("button", { type: "button", text: "Cancel", on: { click: back } }),
      el("button", { type: "button", class: "primary", text: "Send", on: { click: send } }),
    );
    this.#user.replaceChildren(el("div", { class: "editing" }, area, buttons));
    area.focus();
    area.setSelectionRange(area.value.length, area.value.length);
  }
}

/**
 * Whether a key sends: Enter, but not one that confirms a conversion. Safari tells of
 * that one after the conversion is over, by its code alone.
 *
 * @param {KeyboardEvent} event
 * @returns {boolean}
 */
export function sends(event) {
  if (event.key !== "Enter" || event.isComposing || event.keyCode === 229) return false;
  return !event.shiftKey && !event.altKey;
}
