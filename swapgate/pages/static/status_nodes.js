/**
 * Nodes that are drawn again and again: only what has changed is touched.
 */

/**
 * Give a node this text.
 *
 * @param {Element} node one that holds text alone
 * @param {string} text
 */
export function say(node, text) {
  const first = node.firstChild;
  if (first === null) {
    if (text) node.textContent = text;
  } else if (first.data !== text) first.data = text;
}

/**
 * Show or hide a node.
 *
 * @param {HTMLElement} node
 * @param {boolean} shown
 */
export function show(node, shown) {
  if (node.hidden === shown) node.hidden = !shown;
}

/**
 * Give a node an attribute, or take it away.
 *
 * @param {Element} node
 * @param {string} name
 * @param {string|null} value
 */
export function mark(node, name, value) {
  if (node.getAttribute(name) === value) return;
  if (value === null) node.removeAttribute(name);
  else node.setAttribute(name, value);
}

/**
 * The children of a node, one for each item, made and dropped as these come and go.
 *
 * @template Item, View
 */
export class Keyed {
  #box;
  #keyOf;
  #make;
  #views = new Map();

  /**
   * @param {Element} box holds nothing else
   * @param {(item: Item, index: number) => *} keyOf
   * @param {(item: Item) => View & {node: Element}} make
   */
  constructor(box, keyOf, make) {
    this.#box = box;
    this.#keyOf = keyOf;
    this.#make = make;
  }

  /** @returns {Iterable<View>} */
  get views() {
    return this.#views.values();
  }

  /**
   * @param {Item[]} items
   * @param {(view: View, item: Item) => void} update
   */
  draw(items, update) {
    const gone = new Set(this.#views.keys());
    let next = this.#box.firstElementChild;
    items.forEach((item, index) => {
      const key = this.#keyOf(item, index);
      gone.delete(key);
      let view = this.#views.get(key);
      if (!view) {
        view = this.#make(item);
        this.#views.set(key, view);
      }
      if (view.node === next) next = next.nextElementSibling;
      else this.#box.insertBefore(view.node, next);
      update(view, item);
    });
    for (const key of gone) {
      this.#views.get(key).node.remove();
      this.#views.delete(key);
    }
  }
}
