/**
 * Work that waits for the next frame, and takes no more than its share of time.
 */

const SHARE = 4;
const CHEAP_MS = 6;

/**
 * Do this before the next frame is drawn, once however often it is asked for; where it
 * took long, the next time is later, so that the page stays at hand.
 */
export class EachFrame {
  #act;
  #asked = false;
  #restUntilMs = 0;

  /** @param {() => void} act */
  constructor(act) {
    this.#act = act;
  }

  /** Ask for it. */
  ask() {
    if (this.#asked) return;
    this.#asked = true;
    requestAnimationFrame(this.#frame);
  }

  #frame = (nowMs) => {
    if (nowMs < this.#restUntilMs) {
      requestAnimationFrame(this.#frame);
      return;
    }
    this.#asked = false;
    const beganMs = performance.now();
    this.#act();
    const tookMs = performance.now() - beganMs;
    if (tookMs > CHEAP_MS) this.#restUntilMs = nowMs + SHARE * tookMs;
  };
}

/**
 * A box that scrolls with what grows in it, as long as its user is at the end.
 */
export class Follower {
  #box;
  #top = 0;
  #near;
  #changed;

  /**
   * @param {HTMLElement} box
   * @param {number} near so many pixels from the end count as there
   * @param {(following: boolean) => void} changed
   */
  constructor(box, near, changed) {
    this.#box = box;
    this.#near = near;
    this.#changed = changed;
    this.following = true;
    box.addEventListener("scroll", () => this.#scrolled(), { passive: true });
  }

  /** What is in the box has changed. */
  grown() {
    if (this.following) this.toEnd();
  }

  /** Go to the end, and stay there. */
  toEnd() {
    this.#box.scrollTop = this.#box.scrollHeight;
    this.#top = this.#box.scrollTop;
    this.#set(true);
  }

  #scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.#box;
    // What grows below leaves the place as it is: only the user goes up.
    const up = scrollTop < this.#top - 1;
    this.#top = scrollTop;
    if (scrollHeight - scrollTop - clientHeight < this.#near) this.#set(true);
    else if (up) this.#set(false);
  }

  #set(following) {
    if (following === this.following) return;
    this.following = following;
    this.#changed(following);
  }
}
