// Anthropic's own client; its API has no embeddings.
import Anthropic from "@anthropic-ai/sdk";
import { main, messages, tool } from "./main.mjs";

await main((url) => {
  const client = new Anthropic({ baseURL: url, apiKey: "none" });
  const asked = { messages, max_tokens: 100 };
  return {
    async chat(model) {
      return (await client.messages.create({ model, ...asked })).content[0].text;
    },
    async *stream(model) {
      for await (const event of client.messages.stream({ model, ...asked })) {
        if (event.type === "content_block_delta") yield event.delta.text;
      }
    },
    async call(model) {
      const { name, description, parameters } = tool;
      const tools = [{ name, description, input_schema: parameters }];
      const stream = client.messages.stream({ model, tools, ...asked });
      const [block] = (await stream.finalMessage()).content;
      return [block.name, block.input];
    },
  };
});
