/**
 * The list of conversations: found by what was said in them, renamed, deleted, exported.
 */

import { el, icon, iconButton } from "./dom.js";
import { attachMenu } from "./menu.js";

const PAUSE_MS = 150;
const DAY_MS = 24 * 3600 * 1000;

/**
 * @typedef {{open: (id: string) => void, fresh: () => void, rename: (id: string) => void,
 *   remove: (id: string) => void, save: (id: string, kind: "json"|"markdown") => void,
 *   saveAll: () => void, load: (file: File) => void,
 *   search: (text: string, signal: AbortSignal) => Promise<Set<string>>}} Actions
 */

export class Sidebar {
  #actions;
  #records = [];
  #current = "";
  #busy = new Set();
  #found = null;
  #searching = new AbortController();
  #list = el("ul", { class: "conversations", "aria-label": "Conversations" });
  #nothing = el("p", { class: "nothing", hidden: true });
  #search = el("input", {
    type: "search",
    id: "search",
    placeholder: "Find a conversation",
    "aria-label": "Find a conversation",
    "aria-keyshortcuts": "Control+K Meta+K",
    autocomplete: "off",
  });

  /**
   * @param {HTMLElement} place
   * @param {Actions} actions
   */
  constructor(place, actions) {
    this.place = place;
    this.#actions = actions;
    const fresh = el(
      "button",
      { type: "button", class: "with-icon", on: { click: () => actions.fresh() } },
      icon("plus"),
      el("span", { text: "New conversation" }),
    );
    const close = iconButton("close", "Close list", () => this.toggle(false));
    close.classList.add("narrow-only");
    const input = el("input", {
      type: "file",
      accept: ".json,application/json",
      hidden: true,
      "aria-label": "Conversations to import",
    });
    input.addEventListener("change", () => {
      if (input.files[0]) actions.load(input.files[0]);
      input.value = "";
    });
    const more = iconButton("dots", "Import and export", () => {});
    attachMenu(
      more,
      () => [
        { label: "Import…", act: () => input.click() },
        { label: "Export all as JSON", act: () => actions.saveAll() },
      ],
      "Import and export",
    );
    const status = el("a", { href: "/status", class: "with-icon" }, icon("pulse"), "Status");
    place.append(
      el("div", { class: "sidebar-head" }, fresh, close),
      this.#search,
      this.#list,
      this.#nothing,
      el("div", { class: "sidebar-foot" }, status, more, input),
    );
    this.#search.addEventListener("input", () => this.#find());
    this.#search.addEventListener("keydown", (event) => {
      if (event.key === "Enter") this.#list.querySelector("button")?.click();
      else if (event.key === "ArrowDown") this.#list.querySelector("button")?.focus();
      else if (event.key === "Escape" && this.#search.value) {
        this.#search.value = "";
        this.#find();
      } else return;
      event.preventDefault();
      event.stopPropagation();
    });
    this.#list.addEventListener("keydown", (event) => this.#walk(event));
  }

  /**
   * @param {import("./chat_store.js").Conversation[]} records the latest first
   * @param {string} current the id of the one that is looked at
   * @param {Set<string>} busy those that an answer is on its way to
   */
  show(records, current, busy) {
    this.#records = records;
    this.#current = current;
    this.#busy = busy;
    this.#draw();
  }

  /** Look for one. */
  find() {
    this.toggle(true);
    this.#search.focus();
    this.#search.select();
  }

  /**
   * On a narrow screen: show the list, or hide it.
   *
   * @param {boolean} open
   */
  toggle(open) {
    document.body.classList.toggle("listing", open);
  }

  async #find() {
    const text = this.#search.value.trim().toLowerCase();
    this.#searching.abort();
    this.#searching = new AbortController();
    const { signal } = this.#searching;
    if (!text) {
      this.#found = null;
      this.#draw();
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    if (signal.aborted) return;
    const found = await this.#actions.search(text, signal);
    if (signal.aborted) return;
    for (const { id, title } of this.#records) {
      if (title.toLowerCase().includes(text)) found.add(id);
    }
    this.#found = found;
    this.#draw();
  }

  #walk(event) {
    if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
    const all = [...this.#list.querySelectorAll("button.conversation")];
    const at = all.indexOf(document.activeElement);
    if (at < 0) return;
    event.preventDefault();
    const next = at + (event.key === "ArrowDown" ? 1 : -1);
    (all[next] ?? this.#search).focus();
  }

  #draw() {
    const shown = this.#records.filter(({ id }) => this.#found === null || this.#found.has(id));
    const focused = document.activeElement?.closest?.("li[data-id]")?.dataset.id;
    this.#list.replaceChildren(...shown.map((record) => this.#entry(record)));
    if (focused) this.#list.querySelector(`li[data-id="${focused}"] button`)?.focus();
    this.#list.hidden = !shown.length;
    this.#nothing.hidden = shown.length > 0;
    this.#nothing.textContent = this.#found ? "Nothing found." : "What you ask will stand here.";
  }

  #entry({ id, title, updated }) {
    const button = el(
      "button",
      {
        type: "button",
        class: "conversation",
        "aria-current": id === this.#current ? "true" : null,
        title,
        on: { click: () => this.#actions.open(id) },
      },
      el("span", { class: "conversation-title", text: title }),
      el("span", {
        class: "conversation-when",
        text: this.#busy.has(id) ? "answering" : when(updated),
      }),
    );
    const more = iconButton("dots", `More about ${title}`, () => {});
    attachMenu(
      more,
      () => [
        { label: "Rename…", act: () => this.#actions.rename(id) },
        { label: "Export as Markdown", act: () => this.#actions.save(id, "markdown") },
        { label: "Export as JSON", act: () => this.#actions.save(id, "json") },
        { label: "Delete", danger: true, act: () => this.#actions.remove(id) },
      ],
      title,
    );
    return el("li", { dataset: { id } }, button, more);
  }
}

function when(ms) {
  const date = new Date(ms);
  const today = new Date().setHours(0, 0, 0, 0);
  if (ms >= today) return date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  if (ms >= today - DAY_MS) return "yesterday";
  return date.toLocaleDateString([], { day: "numeric", month: "short" });
}
