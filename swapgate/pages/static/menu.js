/**
 * A menu that opens from a button, by pointer and by keyboard (ARIA's menu button).
 */

import { el, icon } from "./dom.js";

let menus = 0;

/**
 * @typedef {{label: string, act: () => void, hint?: string, phase?: string,
 *   checked?: boolean, danger?: boolean}} Item `checked` makes it one of a choice;
 *   `phase` gives it a model's dot
 */

/**
 * Let a button open a menu.
 *
 * @param {HTMLButtonElement} button
 * @param {() => Item[]} items asked for each time it opens
 * @param {string} label
 */
export function attachMenu(button, items, label) {
  menus += 1;
  const menu = el("div", { class: "menu", role: "menu", id: `menu-${menus}`, hidden: true });
  menu.setAttribute("aria-label", label);
  button.setAttribute("aria-haspopup", "menu");
  button.setAttribute("aria-expanded", "false");
  button.setAttribute("aria-controls", menu.id);
  const buttons = () => [...menu.querySelectorAll("button")];

  const outside = (event) => {
    if (!menu.contains(event.target) && !button.contains(event.target)) close(false);
  };
  const close = (focus = true) => {
    menu.hidden = true;
    menu.remove();
    button.setAttribute("aria-expanded", "false");
    document.removeEventListener("pointerdown", outside);
    if (focus) button.focus();
  };
  const open = (last) => {
    const found = items();
    if (!found.length) return;
    menu.replaceChildren(...found.map((item) => entry(item, close)));
    // In a dialog only what is in it can be reached.
    (button.closest("dialog") ?? document.body).append(menu);
    menu.hidden = false;
    place(menu, button);
    button.setAttribute("aria-expanded", "true");
    document.addEventListener("pointerdown", outside);
    const all = buttons();
    const checked = all.find((each) => each.getAttribute("aria-checked") === "true");
    (checked ?? all.at(last ? -1 : 0)).focus();
  };
  button.addEventListener("click", () => (menu.hidden ? open(false) : close()));
  button.addEventListener("keydown", (event) => {
    if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
    event.preventDefault();
    open(event.key === "ArrowUp");
  });
  menu.addEventListener("keydown", (event) => {
    const all = buttons();
    const next = step(event.key, all.indexOf(document.activeElement), all.length);
    if (next !== null) all[next].focus();
    else if (event.key === "Escape") close();
    else if (event.key === "Tab") close(false);
    else if (event.key.length === 1 && /\S/.test(event.key)) {
      const from = all.indexOf(document.activeElement) + 1;
      const begins = (each) =>
        each.textContent.toLowerCase().startsWith(event.key.toLowerCase());
      [...all.slice(from), ...all.slice(0, from)].find(begins)?.focus();
      return;
    } else return;
    if (event.key !== "Tab") event.preventDefault();
    event.stopPropagation();
  });
}

function step(key, at, count) {
  switch (key) {
    case "ArrowDown": return (at + 1) % count;
    case "ArrowUp": return (at + count - 1) % count;
    case "Home": return 0;
    case "End": return count - 1;
    default: return null;
  }
}

function entry({ label, act, hint, phase, checked, danger }, close) {
  const role = checked === undefined ? "menuitem" : "menuitemradio";
  const props = {
    type: "button",
    role,
    tabindex: "-1",
    class: danger ? "danger" : null,
    "aria-checked": checked === undefined ? null : String(checked),
  };
  const pressed = () => {
    close();
    act();
  };
  return el(
    "button",
    { ...props, on: { click: pressed } },
    phase === undefined ? null : el("span", { class: "dot", dataset: { phase } }),
    el("span", { class: "menu-label", text: label }),
    hint ? el("span", { class: "menu-hint", text: hint }) : null,
    checked ? icon("check") : null,
  );
}

/** Below the button, or above it where there is no room; within the window. */
function place(menu, button) {
  const at = button.getBoundingClientRect();
  const { width, height } = menu.getBoundingClientRect();
  const below = at.bottom + 4 + height <= window.innerHeight || at.top < height;
  const left = Math.max(8, Math.min(at.left, window.innerWidth - width - 8));
  menu.style.left = `${left}px`;
  menu.style.top = `${below ? at.bottom + 4 : at.top - height - 4}px`;
}
