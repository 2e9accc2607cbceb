// Ollama's own client.
import { Ollama } from "ollama";
import { main, messages, question, tool } from "./main.mjs";

await main((host) => {
  const client = new Ollama({ host });
  return {
    async chat(model) {
      return (await client.chat({ model, messages })).message.content;
    },
    async *stream(model) {
      const parts = await client.chat({ model, messages, stream: true });
      for await (const part of parts) yield part.message.content;
    },
    async call(model) {
      const tools = [{ type: "function", function: tool }];
      const parts = await client.chat({ model, messages, tools, stream: true });
      const calls = [];
      for await (const { message } of parts) calls.push(...(message.tool_calls ?? []));
      return [calls[0].function.name, calls[0].function.arguments];
    },
    async embed(model) {
      const input = [question, question];
      return (await client.embed({ model, input })).embeddings[1];
    },
  };
});
