/**
 * The swim lanes of the last hour: a lane for each model that was up or waited for.
 *
 * A lane is a path for each phase, whatever the number of its spans, in seconds since
 * the page was opened; the view moves over them. What is under the pointer is found by
 * its time, so that a span of a tenth of a second can be met, too.
 */

import { el, svg } from "./dom.js";
import { HOUR_S } from "./status_history.js";
import { LANE, Lane, legend, SHAPES } from "./status_lane.js";
import { Keyed, mark, say, show } from "./status_nodes.js";
import { spanWords } from "./status_words.js";

const RANGES = [
  ["5 min", 300, 60],
  ["15 min", 900, 180],
  ["1 hour", HOUR_S, 600],
];
// So near the pointer a span counts as met, of the whole width.
const NEAR = 0.008;
// What a tick's label takes of it.
const ROOM = 0.06;

export class Timeline {
  #spans;
  #now;
  #baseS = Date.now() / 1000;
  #range = RANGES[2];
  #order = [];
  #lanes = new Map();
  #names = [];
  #selected = null;
  #words = el("p");
  #labels = el("ul", { class: "lane-names", "aria-hidden": "true" });
  #labelRows = new Keyed(
    this.#labels,
    (name) => name,
    () => ({ node: el("li") }),
  );
  #paths = svg("g");
  #laneRows = new Keyed(
    this.#paths,
    (name) => name,
    () => new Lane(),
  );
  #grid = svg("path", { class: "lane-grid" });
  #frame = svg("rect", { class: "lane-selected", visibility: "hidden" });
  #picture;
  #ticks = el("div", { class: "lane-ticks", "aria-hidden": "true" });
  #tickRows = new Keyed(
    this.#ticks,
    (tick) => tick.epochS,
    () => ({ node: el("span") }),
  );
  #tip = el("div", { class: "lane-tip", role: "status", hidden: true });
  #tipRows = new Keyed(
    this.#tip,
    (_, n) => n,
    () => ({ node: el("p") }),
  );
  #lanesBox;

  /**
   * @param {HTMLElement} box
   * @param {import("./status_history.js").Spans} spans
   * @param {() => number} now seconds of the epoch, as the gateway has them
   */
  constructor(box, spans, now) {
    this.#spans = spans;
    this.#now = now;
    this.#picture = svg(
      "svg",
      {
        class: "lanes",
        preserveAspectRatio: "none",
        tabindex: "0",
        role: "application",
        "aria-roledescription": "timeline",
        "aria-label":
          "Timeline: arrow keys lead from span to span and from model to model, and tell why",
        on: {
          pointermove: (event) => this.#pointed(event),
          pointerleave: () => this.#select(null),
          pointerdown: (event) => this.#pointed(event),
          keydown: (event) => this.#key(event),
          blur: () => this.#select(null),
        },
      },
      this.#grid,
      this.#paths,
      this.#frame,
    );
    this.#lanesBox = el("div", { class: "lanes-box" }, this.#labels, this.#picture, this.#ticks);
    box.append(this.#head(), this.#words, this.#lanesBox, this.#tip, legend());
  }

  #head() {
    const buttons = RANGES.map((range) => {
      const on = {
        click: () => {
          this.#range = range;
          for (const [n, each] of buttons.entries()) {
            mark(each, "aria-pressed", String(RANGES[n] === range));
          }
          this.#select(null);
          this.redraw();
        },
      };
      const pressed = String(range === this.#range);
      return el("button", { type: "button", text: range[0], "aria-pressed": pressed, on });
    });
    return el("div", { class: "ranges", role: "group", "aria-label": "How much is shown" }, ...buttons);
  }

  /**
   * Draw what has been told anew; `order` is that of the models.
   *
   * @param {string[]} order
   */
  draw(order) {
    this.#order = order;
    this.redraw();
  }

  redraw() {
    const nowS = this.#now();
    this.#lanes = this.#spans.byModel(nowS - this.#range[1]);
    const known = this.#order.filter((name) => this.#lanes.has(name));
    const others = [...this.#lanes.keys()].filter((name) => !this.#order.includes(name));
    this.#names = [...known, ...others];
    const quiet = this.#order.length - known.length;
    say(
      this.#words,
      this.#names.length
        ? quiet
          ? `${quiet === 1 ? "1 model was" : `${quiet} models were`} not up in this time.`
          : ""
        : "No model was up in this time.",
    );
    show(this.#lanesBox, this.#names.length > 0);
    this.#labelRows.draw(this.#names, (row, name) => say(row.node, name));
    let n = 0;
    this.#laneRows.draw(this.#names, (lane, name) => {
      lane.draw(this.#lanes.get(name), n++ * LANE, this.#baseS);
    });
    const height = Math.max(1, this.#names.length) * LANE;
    mark(this.#picture, "height", String(height));
    this.move();
  }

  /** Time goes on: the view moves, and what goes on grows. */
  move() {
    const nowS = this.#now();
    const [, width, step] = this.#range;
    const leftS = nowS - width;
    const height = Math.max(1, this.#names.length) * LANE;
    mark(this.#picture, "viewBox", `${(leftS - this.#baseS).toFixed(2)} 0 ${width} ${height}`);
    for (const view of this.#laneRows.views) view.grow(nowS - this.#baseS);
    const ticks = [];
    let lines = "";
    for (let epochS = Math.ceil(leftS / step) * step; epochS < nowS; epochS += step) {
      // A label at the right edge would be cut.
      const share = (epochS - leftS) / width;
      if (share < 1 - ROOM) ticks.push({ epochS, share });
      lines += `M${(epochS - this.#baseS).toFixed(2)} 0V${height}`;
    }
    mark(this.#grid, "d", lines || null);
    this.#tickRows.draw(ticks, ({ node }, { epochS, share }) => {
      const time = new Date(epochS * 1000);
      const minutes = String(time.getMinutes()).padStart(2, "0");
      say(node, `${String(time.getHours()).padStart(2, "0")}:${minutes}`);
      node.style.left = `${(100 * share).toFixed(2)}%`;
    });
    if (this.#selected) this.#show(this.#selected);
  }

  #pointed(event) {
    const { left, width, top, height } = this.#picture.getBoundingClientRect();
    const x = (event.clientX - left) / width;
    const y = ((event.clientY - top) / height) * this.#names.length;
    const name = this.#names[Math.floor(y)];
    if (name === undefined) return;
    const nowS = this.#now();
    const epochS = nowS - this.#range[1] * (1 - x);
    const nearS = NEAR * this.#range[1];
    const inWaits = (y % 1) * LANE > SHAPES.waiting[0] - 2;
    const met = this.#lanes
      .get(name)
      .filter((span) => (span.phase === "waiting") === inWaits)
      .map((span) => ({ span, offS: distance(span, epochS, nowS) }))
      .filter(({ offS }) => offS <= nearS)
      .sort((a, b) => a.offS - b.offS || b.span.began - a.span.began);
    this.#select(met[0]?.span ?? null);
  }

  #key(event) {
    const spans = this.#selected && this.#lanes.get(this.#selected.model);
    if (event.key === "Escape") this.#select(null);
    else if (!this.#names.length) return;
    else if (!spans) {
      if (!event.key.startsWith("Arrow")) return;
      const last = this.#names.map((name) => this.#lanes.get(name).at(-1));
      this.#select(last[0]);
    } else if (event.key === "ArrowLeft" || event.key === "ArrowRight") {
      const n = spans.findIndex((span) => span.key === this.#selected.key);
      const next = spans[n + (event.key === "ArrowLeft" ? -1 : 1)];
      if (next) this.#select(next);
    } else if (event.key === "ArrowUp" || event.key === "ArrowDown") {
      const lane = this.#names.indexOf(this.#selected.model);
      const other = this.#names[lane + (event.key === "ArrowUp" ? -1 : 1)];
      if (other === undefined) return;
      const nowS = this.#now();
      const off = (span) => distance(span, this.#selected.began, nowS);
      this.#select(this.#lanes.get(other).reduce((a, b) => (off(b) < off(a) ? b : a)));
    } else return;
    event.preventDefault();
  }

  #select(span) {
    if (span?.key === this.#selected?.key) return;
    this.#selected = span;
    if (span) this.#show(span);
    else {
      show(this.#tip, false);
      mark(this.#frame, "visibility", "hidden");
    }
  }

  #show(span) {
    const nowS = this.#now();
    const lane = this.#names.indexOf(span.model);
    if (lane < 0) {
      this.#select(null);
      return;
    }
    const [top, tall] = SHAPES[span.phase] ?? SHAPES.ready;
    const widthS = Math.max((span.ended ?? nowS) - span.began, this.#range[1] / 500);
    mark(this.#frame, "x", String(span.began - this.#baseS));
    mark(this.#frame, "y", String(lane * LANE + top));
    mark(this.#frame, "width", String(widthS));
    mark(this.#frame, "height", String(tall));
    mark(this.#frame, "visibility", "visible");
    show(this.#tip, true);
    this.#tipRows.draw(spanWords(span, nowS), ({ node }, line) => say(node, line));
    mark(this.#tip, "data-phase", span.phase);
  }
}

/** How far a time is from a span; 0 within it. */
function distance(span, epochS, nowS) {
  return Math.max(span.began - epochS, epochS - (span.ended ?? nowS), 0);
}
