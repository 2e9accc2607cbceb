/**
 * Server-sent events, read from the body of a fetch.
 *
 * EventSource can neither send a key nor a POST, and hides comments, in which the
 * gateway tells a held request how it stands.
 */

/**
 * Each event or comment as it comes. Half an event at the end is dropped, as the HTML
 * standard has it (9.2.6).
 *
 * @param {ReadableStream<Uint8Array>} body
 * @param {() => void} [heard] called at each read, whatever it brought
 * @returns {AsyncGenerator<{event: string, data: string}|{comment: string}>}
 */
export async function* readEvents(body, heard = () => {}) {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  const lines = new Lines();
  let event = "";
  let data = [];
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      heard();
      for (const line of lines.take(decoder.decode(value, { stream: true }))) {
        if (line === "") {
          if (data.length) yield { event: event || "message", data: data.join("\n") };
          event = "";
          data = [];
        } else if (line.startsWith(":")) {
          yield { comment: line.slice(1).trim() };
        } else {
          const colon = line.indexOf(":");
          const name = colon < 0 ? line : line.slice(0, colon);
          const rest = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
          if (name === "event") event = rest;
          else if (name === "data") data.push(rest);
        }
      }
    }
  } finally {
    // A caller that stops reading ends the request with it.
    reader.cancel().catch(() => {});
  }
}

/**
 * Whole lines of a text that comes in pieces; each character is looked at once.
 */
class Lines {
  #begun = [];

  take(text) {
    const parts = text.split("\n");
    if (parts.length === 1) {
      this.#begun.push(text);
      return [];
    }
    parts[0] = [...this.#begun, parts[0]].join("");
    this.#begun = [parts.pop()];
    return parts.map((line) => (line.endsWith("\r") ? line.slice(0, -1) : line));
  }
}
