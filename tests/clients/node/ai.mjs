// The AI SDK.
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { embed, generateText, jsonSchema, streamText } from "ai";
import { main, question, tool } from "./main.mjs";

globalThis.AI_SDK_LOG_WARNINGS = false;

await main((url) => {
  const provider = createOpenAICompatible({ name: "swapgate", baseURL: `${url}/v1` });
  const asked = (name) => ({ model: provider(name), prompt: question });
  return {
    async chat(model) {
      return (await generateText(asked(model))).text;
    },
    async *stream(model) {
      // It logs errors, unless told what to do with them.
      const { fullStream } = streamText({ ...asked(model), onError() {} });
      for await (const part of fullStream) {
        if (part.type === "error") throw part.error;
        if (part.type === "text-delta") yield part.text;
      }
    },
    async call(model) {
      const { name, description, parameters } = tool;
      const tools = { [name]: { description, inputSchema: jsonSchema(parameters) } };
      const result = streamText({ ...asked(model), tools });
      const [call] = await result.toolCalls;
      return [call.toolName, call.input];
    },
    async embed(name) {
      const model = provider.textEmbeddingModel(name);
      return (await embed({ model, value: question })).embedding;
    },
  };
});
