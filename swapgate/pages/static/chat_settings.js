/**
 * Dialogs: a conversation's system prompt and sampling; a name.
 */

import { el } from "./dom.js";

// Name, label, range and step; empty leaves it to the engine.
const SAMPLING = [
  ["temperature", "Temperature", 0, 5, 0.05],
  ["top_p", "Top P", 0, 1, 0.01],
  ["top_k", "Top K", 0, 1000, 1],
  ["min_p", "Min P", 0, 1, 0.01],
  ["max_tokens", "Longest answer, in tokens", 1, 1_000_000, 1],
  ["seed", "Seed", 0, 4_294_967_295, 1],
];

/**
 * Ask for a conversation's settings.
 *
 * @param {import("./chat_store.js").Conversation} record
 * @param {(() => void)|null} forgetKey where there is a key to forget
 * @returns {Promise<{system: string, sampling: Object<string, number>}|null>} null where
 *   they stay
 */
export function askSettings({ system, sampling }, forgetKey) {
  const area = el("textarea", { id: "system", rows: "5" });
  area.value = system;
  const inputs = SAMPLING.map(([name, label, min, max, step]) => {
    const range = { type: "number", min, max, step, placeholder: "engine's own" };
    const input = el("input", { id: `sampling-${name}`, inputmode: "decimal", ...range });
    input.value = sampling[name] ?? "";
    const shown = el("div", {}, el("label", { for: input.id, text: label }), input);
    return { name, input, shown };
  });
  const forget = el("button", { type: "button", text: "Forget API key", class: "danger" });
  forget.addEventListener("click", () => {
    forgetKey();
    forget.disabled = true;
    forget.textContent = "Forgotten";
  });
  return ask(
    "Settings of this conversation",
    [
      el("label", { for: area.id, text: "System prompt" }),
      area,
      el("div", { class: "sampling" }, ...inputs.map(({ shown }) => shown)),
      forgetKey ? el("p", { class: "forget" }, forget) : null,
    ],
    "Save",
    () => ({
      system: area.value,
      sampling: Object.fromEntries(
        inputs.filter(({ input }) => input.value !== "").map((each) => [
          each.name,
          Number(each.input.value),
        ]),
      ),
    }),
  );
}

/**
 * Ask for a conversation's name.
 *
 * @param {string} title the present one
 * @returns {Promise<string|null>}
 */
export function askName(title) {
  const input = el("input", { id: "name", required: true, maxlength: "200" });
  input.value = title;
  const label = el("label", { for: input.id, text: "Name" });
  return ask("Rename conversation", [label, input], "Rename", () => input.value.trim() || null);
}

function ask(title, parts, verb, answer) {
  return new Promise((resolve) => {
    let found = null;
    const cancel = el("button", { type: "button", text: "Cancel" });
    const form = el(
      "form",
      {},
      el("h2", { id: "dialog-title", text: title }),
      ...parts,
      el("div", { class: "dialog-buttons" }, cancel, el("button", { class: "primary", text: verb })),
    );
    const dialog = el("dialog", { "aria-labelledby": "dialog-title" }, form);
    cancel.addEventListener("click", () => dialog.close());
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      found = answer();
      dialog.close();
    });
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(found);
    });
    document.body.append(dialog);
    dialog.showModal();
    const first = form.querySelector("textarea, input");
    first.focus();
    first.select();
  });
}
