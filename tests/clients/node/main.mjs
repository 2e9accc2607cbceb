// Runs what a client does, and prints what a person would see of it, as JSON:
//     node CLIENT.mjs URL chat|stream|call|embed MODEL

export const question = "What is the capital of France?";
export const messages = [{ role: "user", content: question }];
export const tool = {
  name: "weather",
  description: "The weather in a city.",
  parameters: {
    type: "object",
    properties: { city: { type: "string" } },
    required: ["city"],
  },
};

export async function main(client) {
  const [url, what, model] = process.argv.slice(2);
  const seen = { said: "", error: "" };
  try {
    const asker = client(url);
    if (what === "stream") {
      for await (const text of asker.stream(model)) seen.said += text;
    } else {
      seen.said = await asker[what](model);
    }
  } catch (error) {
    // The AI SDK hands on what it was sent, and shows it as JSON.
    seen.error = error instanceof Error ? String(error) : JSON.stringify(error);
  }
  console.log(JSON.stringify(seen));
}
