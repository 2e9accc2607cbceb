/**
 * Nodes: the only way in which the pages build what they show.
 *
 * Text becomes text nodes, never markup; no innerHTML and no inline style or script,
 * so that the Content-Security-Policy can forbid both.
 */

const SVG = "http://www.w3.org/2000/svg";

/**
 * Build an element.
 *
 * @param {string} tag
 * @param {Object<string, *>} props `class`, `text`, `on` (an object of listeners),
 *   `dataset`; every other one is an attribute: true stands for an empty one, false,
 *   null and undefined for none
 * @param {...(Node|string|null|undefined)} children
 * @returns {HTMLElement}
 */
export function el(tag, props = {}, ...children) {
  return fill(document.createElement(tag), props, children);
}

/**
 * Build an element of SVG, as `el` does.
 *
 * @param {string} tag
 * @param {Object<string, *>} props
 * @param {...(Node|string|null|undefined)} children
 * @returns {SVGElement}
 */
export function svg(tag, props = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), props, children);
}

/**
 * An icon, drawn in the colour of the text around it.
 *
 * @param {keyof typeof ICONS} name
 * @returns {SVGElement}
 */
export function icon(name) {
  const path = svg("path", { d: ICONS[name] });
  const props = { class: "icon", viewBox: "0 0 24 24", "aria-hidden": "true" };
  return svg("svg", props, path);
}

/**
 * A button with an icon; its label is for those who do not see it, and its tooltip.
 *
 * @param {keyof typeof ICONS} name
 * @param {string} label
 * @param {(event: Event) => void} pressed
 * @param {Object<string, *>} props more of them
 * @returns {HTMLElement}
 */
export function iconButton(name, label, pressed, props = {}) {
  const usual = { type: "button", class: "icon-button", "aria-label": label };
  const on = { click: pressed };
  return el("button", { ...usual, title: label, on, ...props }, icon(name));
}

/**
 * Give a node these children and no others.
 *
 * @param {Element} node
 * @param {...(Node|string)} children
 */
export function replace(node, ...children) {
  node.replaceChildren(...children);
}

function fill(node, props, children) {
  for (const [name, value] of Object.entries(props)) {
    if (value === false || value === null || value === undefined) continue;
    if (name === "text") node.textContent = value;
    else if (name === "on") {
      for (const [event, heard] of Object.entries(value)) {
        node.addEventListener(event, heard);
      }
    } else if (name === "dataset") Object.assign(node.dataset, value);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

// Strokes on a field of 24 by 24.
const ICONS = {
  check: "M5 12.5l4.5 4.5L19 7.5",
  chevron: "M7 10l5 5 5-5",
  close: "M6 6l12 12M18 6L6 18",
  copy: "M9 9h10v11H9zM5 15V4h10",
  dots: "M5 12h.01M12 12h.01M19 12h.01",
  download: "M12 4v11m0 0l-4.5-4.5M12 15l4.5-4.5M5 20h14",
  edit: "M4 20l1-4L16 5l3 3L8 19l-4 1z",
  file: "M6 3h8l4 4v14H6zM14 3v4h4",
  forward: "M5 5l8 7-8 7zM15 5v14",
  menu: "M4 7h16M4 12h16M4 17h16",
  paperclip: "M19 11l-7.5 7.5a4.5 4.5 0 0 1-6.4-6.4L13 4.200a3 3 0 0 1 4.3 4.300L9.5 16.300a1.5 1.5 0 0 1-2.1-2.100L14.5 7",
  plus: "M12 5v14M5 12h14",
  pulse: "M3 12h4l3-8 4 16 3-8h4",
  redo: "M19 8a8 8 0 1 0 1 6M19 3v5h-5",
  search: "M10.5 4a6.5 6.5 0 1 1 0 13a6.5 6.5 0 0 1 0-13zM15.5 15.500L20 20",
  send: "M12 20V5M12 5l-6 6M12 5l6 6",
  sliders: "M4 7h9M17 7h3M15 5v4M4 17h3M11 17h9M9 15v4",
  stop: "M7 7h10v10H7z",
  trash: "M4 7h16M9 7V4h6v3M6 7l1 13h10l1-13",
  upload: "M12 16V5m0 0L7.5 9.500M12 5l4.5 4.500M5 20h14",
};
