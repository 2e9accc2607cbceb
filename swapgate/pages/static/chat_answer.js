/**
 * One answer as it is seen: its wait, its reasoning, its text, its numbers, its error.
 */

import { errorWords, statsWords, waitWords } from "./chat_words.js";
import { el, icon, iconButton } from "./dom.js";
import { EachFrame } from "./frames.js";
import { MarkdownView } from "./markdown_view.js";
import { attachMenu } from "./menu.js";

const RUNNING = new Set(["waiting", "streaming"]);
const CAN_GO_ON = new Set(["stopped", "failed", "interrupted"]);

export class AnswerView {
  #turn;
  #answer;
  #actions;
  #text = new MarkdownView();
  #wait = el("p", { class: "wait-words" });
  #bar = el("progress", { max: "1", "aria-label": "Loading" });
  #waiting;
  #thought = el("div", { class: "thought" });
  #thinking;
  #summary = el("summary");
  #end = el("div", { class: "answer-end" });
  #choice = el("button", { type: "button", class: "choice" });
  #shown = "";
  #frame = new EachFrame(() => this.#draw());

  /**
   * @param {import("./chat_store.js").Turn} turn
   * @param {import("./chat_store.js").Answer} answer
   * @param {import("./chat_turn.js").Actions} actions
   */
  constructor(turn, answer, actions) {
    this.#turn = turn;
    this.#answer = answer;
    this.#actions = actions;
    this.#waiting = el("div", { class: "wait", hidden: true }, this.#wait, this.#bar);
    this.#thinking = el("details", { class: "thinking", hidden: true }, this.#summary, this.#thought);
    this.#thinking.addEventListener("toggle", () => this.refresh());
    this.#choice.addEventListener("click", () => actions.choose(turn, answer));
    const head = el(
      "header",
      { class: "answer-head" },
      el("h2", { class: "answer-model", text: answer.model }),
      this.#choice,
    );
    const parts = [head, this.#waiting, this.#thinking, this.#text.node, this.#end];
    const label = `Answer of ${answer.model}`;
    this.node = el("section", { class: "answer", "aria-label": label }, ...parts);
    this.#draw();
  }

  /**
   * @param {boolean} several whether it is one of several
   * @param {string} chosen the id of the one that the conversation goes on from
   */
  show(several, chosen) {
    const is = chosen === this.#answer.id;
    this.node.classList.toggle("chosen", several && is);
    this.#choice.hidden = !several;
    this.#choice.setAttribute("aria-pressed", String(is));
    this.#choice.textContent = is ? "Used from here on" : "Use this one";
  }

  /** Bring its beginning into view. */
  reveal() {
    this.node.firstElementChild.scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  /** Draw it before the next frame. */
  refresh() {
    this.#frame.ask();
  }

  /** The wait goes on. */
  tick() {
    const { state, model, sentMs = 0, told = "" } = this.#answer;
    if (state !== "waiting") return;
    const standing = this.#actions.models.standing(model);
    const words = waitWords(model, standing, (performance.now() - sentMs) / 1000, told);
    this.#wait.textContent = words.text;
    if (words.value === null) this.#bar.removeAttribute("value");
    else this.#bar.value = words.value;
  }

  #draw() {
    const answer = this.#answer;
    const busy = RUNNING.has(answer.state);
    this.#waiting.hidden = answer.state !== "waiting";
    this.tick();
    this.node.setAttribute("aria-busy", String(busy));
    this.#drawThinking();
    this.#text.update(busy || !answer.text ? answer.text : `${answer.text}\n`);
    // What stands under it changes with the state alone.
    const shown = `${answer.state} ${answer.text === ""}`;
    if (shown !== this.#shown) {
      this.#shown = shown;
      this.#end.replaceChildren(...(busy ? [] : this.#ending()));
    }
    this.node.dispatchEvent(new Event("drawn", { bubbles: true }));
  }

  #drawThinking() {
    const { reasoning, reasoningMs = 0, text, state } = this.#answer;
    this.#thinking.hidden = !reasoning;
    if (!reasoning) return;
    const thinks = state === "streaming" && !text;
    const took = `${Math.max(1, Math.round(reasoningMs / 1000))} s`;
    const words = thinks ? `Thinking, ${took}` : `Thought for ${took}`;
    if (this.#summary.textContent !== words) this.#summary.textContent = words;
    // Folded, it costs nothing.
    if (this.#thinking.open && this.#thought.textContent.length !== reasoning.length) {
      this.#thought.textContent = reasoning;
    }
  }

  #ending() {
    const { state, error, stats, finish, text, reasoning } = this.#answer;
    const parts = [];
    if (error) parts.push(this.#error(error));
    else if (state === "stopped") parts.push(note("Stopped."));
    else if (state === "interrupted") {
      parts.push(note("Its page was closed before it had ended, or still shows it elsewhere."));
    } else if (finish === "length") parts.push(note("It reached the longest length allowed."));
    else if (state === "done" && !text) {
      parts.push(note(reasoning ? "It thought, and said nothing." : "The answer is empty."));
    }
    parts.push(this.#tools());
    if (stats) {
      const numbers = statsWords(stats).map(([words, meaning]) =>
        el("li", { text: words, title: meaning }),
      );
      parts.push(el("ul", { class: "stats", "aria-label": "About this answer" }, ...numbers));
    }
    return parts;
  }

  #error(error) {
    const { what, remedy } = errorWords(error, this.#answer.model);
    const details = error.message
      ? el("details", {}, el("summary", { text: "Details" }), el("pre", { text: error.message }))
      : null;
    return el(
      "div",
      { class: "error", role: "alert" },
      el("p", {}, el("strong", { text: what }), ` ${remedy}`),
      details,
    );
  }

  #tools() {
    const [turn, answer, actions] = [this.#turn, this.#answer, this.#actions];
    const { state, text, finish } = answer;
    const again = iconButton("redo", "Answer again", () => {}, { class: "icon-button" });
    attachMenu(
      again,
      () =>
        actions.models.names.map((name) => ({
          label: name,
          phase: actions.models.stateOf(name).phase,
          hint: name === answer.model ? "the same" : "",
          act: () => actions.again(turn, name),
        })),
      "Answer again with",
    );
    const goesOn = text && (CAN_GO_ON.has(state) || finish === "length");
    const buttons = [];
    if (goesOn) buttons.push(labelled("forward", "Continue", () => actions.goOn(turn, answer)));
    if (!goesOn && (CAN_GO_ON.has(state) || !text)) {
      buttons.push(labelled("redo", "Try again", () => actions.retry(turn, answer)));
    }
    if (text) buttons.push(iconButton("copy", "Copy answer", () => actions.copy(text)));
    return el("div", { class: "tools" }, ...buttons, again);
  }
}

function note(text) {
  return el("p", { class: "note", text });
}

function labelled(name, label, pressed) {
  const props = { type: "button", class: "with-icon", on: { click: pressed } };
  return el("button", props, icon(name), el("span", { text: label }));
}
