/**
 * What of a conversation is sent to a model. Pure.
 */

/**
 * The body of a request for an answer.
 *
 * @param {{record: object, turns: object[], files: Map<string, string>}} conversation
 * @param {import("./chat_store.js").Turn} turn that is answered
 * @param {import("./chat_store.js").Answer} answer
 * @param {string} begun what is there of the answer: the engine goes on from it
 * @returns {object}
 */
export function chatBody({ record, turns, files }, turn, answer, begun) {
  const { system, sampling } = record;
  const messages = system.trim() ? [{ role: "system", content: system }] : [];
  for (const each of turns) {
    if (each === turn) break;
    const chosen = each.answers.find(({ id }) => id === each.chosen);
    // Templates want roles that alternate: without an answer there was no question.
    if (!chosen?.text) continue;
    messages.push({ role: "user", content: contentOf(each.user, files) });
    messages.push({ role: "assistant", content: chosen.text });
  }
  messages.push({ role: "user", content: contentOf(turn.user, files) });
  const body = { model: answer.model, messages, ...sampling };
  if (begun) messages.push({ role: "assistant", content: begun });
  // A model that thinks has done so before its first word; llama-server refuses to go on
  // from a beginning unless it is told so (llama.cpp, pull request 15404).
  if (begun && answer.reasoning) body.chat_template_kwargs = { enable_thinking: false };
  return body;
}

function contentOf({ text, files }, data) {
  const parts = files
    .filter(({ kind }) => kind === "text")
    .map(({ id, name }) => `${name}:\n${fenced(data.get(id) ?? "")}`);
  const whole = [...parts, text].filter(Boolean).join("\n\n");
  const images = files.filter(({ kind }) => kind === "image");
  if (!images.length) return whole;
  const urls = images.map(({ id }) => ({
    type: "image_url",
    image_url: { url: data.get(id) ?? "" },
  }));
  return [...urls, ...(whole ? [{ type: "text", text: whole }] : [])];
}

/** A file's text between fences that it does not have itself. */
function fenced(text) {
  const runs = text.match(/`{3,}/g) ?? [];
  const longest = runs.reduce((most, run) => Math.max(most, run.length), 2);
  const fence = "`".repeat(longest + 1);
  return `${fence}\n${text}\n${fence}`;
}
