/**
 * The question for an API key.
 */

import { el } from "./dom.js";

/**
 * Ask; the dialog is closed without an answer by Esc or its button.
 *
 * @param {boolean} again whether one was refused
 * @returns {Promise<string|null>}
 */
export function askForKey(again) {
  return new Promise((resolve) => {
    const input = el("input", {
      id: "key-input",
      type: "password",
      name: "key",
      autocomplete: "off",
      required: true,
      spellcheck: "false",
      // What a header may hold.
      pattern: "[!-~]+",
    });
    const why = again
      ? "The gateway knows no such key. Please check it."
      : "This gateway wants an API key. It is kept in this browser alone.";
    const cancel = () => dialog.close();
    const form = el(
      "form",
      {},
      el("h2", { id: "key-title", text: "API key" }),
      el("p", { id: "key-why", text: why, role: again ? "alert" : null }),
      el("label", { for: "key-input", text: "Key" }),
      input,
      el(
        "div",
        { class: "dialog-buttons" },
        el("button", { type: "button", text: "Not now", on: { click: cancel } }),
        el("button", { class: "primary", text: "Continue" }),
      ),
    );
    const labels = { "aria-labelledby": "key-title", "aria-describedby": "key-why" };
    const dialog = el("dialog", { class: "key-dialog", ...labels }, form);
    let key = null;
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      key = input.value;
      dialog.close();
    });
    dialog.addEventListener("close", () => {
      dialog.remove();
      // What a page is there for could not be focused meanwhile.
      if (document.activeElement === document.body) {
        document.querySelector("[data-main]")?.focus();
      }
      resolve(key);
    });
    document.body.append(dialog);
    dialog.showModal();
    input.focus();
  });
}
