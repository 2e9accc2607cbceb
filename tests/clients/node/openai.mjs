// OpenAI's own client.
import OpenAI from "openai";
import { main, messages, question, tool } from "./main.mjs";

await main((url) => {
  const { chat, embeddings } = new OpenAI({ baseURL: `${url}/v1`, apiKey: "none" });
  return {
    async chat(model) {
      const found = await chat.completions.create({ model, messages });
      return found.choices[0].message.content;
    },
    async *stream(model) {
      const chunks = await chat.completions.create({ model, messages, stream: true });
      for await (const chunk of chunks) yield chunk.choices[0].delta.content ?? "";
    },
    async call(model) {
      const tools = [{ type: "function", function: tool }];
      const stream = chat.completions.stream({ model, messages, tools });
      const [call] = (await stream.finalMessage()).tool_calls;
      return [call.function.name, JSON.parse(call.function.arguments)];
    },
    async embed(model) {
      const found = await embeddings.create({ model, input: [question, question] });
      return found.data[1].embedding;
    },
  };
});
