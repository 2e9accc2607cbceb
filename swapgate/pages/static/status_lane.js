/**
 * One lane of the timeline, and what the shapes in it mean.
 */

import { el, svg } from "./dom.js";
import { mark } from "./status_nodes.js";

/** How tall a lane is, in pixels. */
export const LANE = 30;
/** Where in its lane each phase is drawn: its top and height. Not by colour alone. */
export const SHAPES = {
  starting: [11, 8],
  ready: [4, 15],
  draining: [7, 12],
  stopping: [14, 5],
  failed: [4, 15],
  waiting: [22, 4],
};

/** One model's paths, and what goes on. */
export class Lane {
  node = svg("g");
  #paths = new Map();
  #open = new Map();

  draw(spans, top, baseS) {
    const lines = new Map();
    const open = new Map();
    for (const span of spans) {
      const [y, tall] = SHAPES[span.phase] ?? SHAPES.ready;
      const x = (span.began - baseS).toFixed(2);
      if (span.ended === null) open.set(span.phase, { x: Number(x), y: top + y, tall });
      else {
        const to = (span.ended - baseS).toFixed(2);
        const line = `M${x} ${top + y}H${to}v${tall}H${x}z`;
        lines.set(span.phase, (lines.get(span.phase) ?? "") + line);
      }
    }
    for (const phase of Object.keys(SHAPES)) {
      this.#part(this.#paths, phase, "path", (node) => mark(node, "d", lines.get(phase)), lines);
      this.#part(
        this.#open,
        phase,
        "rect",
        (node) => {
          const { x, y, tall } = open.get(phase);
          mark(node, "x", String(x));
          mark(node, "y", String(y));
          mark(node, "height", String(tall));
        },
        open,
      );
    }
  }

  #part(nodes, phase, tag, update, wanted) {
    let node = nodes.get(phase);
    if (!wanted.has(phase)) {
      node?.remove();
      nodes.delete(phase);
      return;
    }
    if (!node) {
      node = svg(tag, { class: `lane-${phase}` });
      nodes.set(phase, node);
      this.node.append(node);
    }
    update(node);
  }

  grow(toX) {
    for (const node of this.#open.values()) {
      const width = Math.max(0, toX - Number(node.getAttribute("x")));
      node.setAttribute("width", width.toFixed(2));
    }
  }
}

/** @returns {HTMLElement} what each shape stands for */
export function legend() {
  const names = {
    starting: "loading",
    ready: "up",
    draining: "finishing answers",
    stopping: "stopping",
    failed: "failed",
    waiting: "requests wait",
  };
  const entries = Object.entries(names).map(([phase, words]) => {
    const [y, height] = SHAPES[phase];
    const drawn = svg(
      "svg",
      { class: "lanes", width: "18", height: "30", viewBox: `0 0 18 ${LANE}`, "aria-hidden": "true" },
      svg("rect", { class: `lane-${phase}`, x: "1", y: String(y), width: "16", height: String(height) }),
    );
    return el("li", {}, drawn, words);
  });
  return el("ul", { class: "legend", "aria-label": "What the lanes show" }, ...entries);
}
