// fal's official JavaScript client, set up as in a browser: it knows a proxy, and no key.
import { createFalClient } from "@fal-ai/client";

const [, , task, proxy] = process.argv;
if (process.env.FAL_KEY) throw new Error("a key is set");
const fal = createFalClient({ proxyUrl: { url: proxy, when: "always" } });

const tasks = {
  async subscribe() {
    const updates = [];
    const result = await fal.subscribe("fal-ai/flux/schnell", {
      input: { prompt: "a cat", image_size: "square", seed: 1 },
      logs: true,
      pollInterval: 20,
      onQueueUpdate: (update) => updates.push(update.status),
    });
    return { updates, requestId: result.requestId, data: result.data };
  },
  async streamed_status() {
    const updates = [];
    const result = await fal.subscribe("fal-ai/flux/schnell", {
      input: { prompt: "a cat", image_size: "square", seed: 1 },
      logs: true,
      mode: "streaming",
      onQueueUpdate: (update) => updates.push(update.status),
    });
    return { updates, requestId: result.requestId, data: result.data };
  },
  async run() {
    const result = await fal.run("me/echo", { input: { text: "é" } });
    return { data: result.data, requestId: result.requestId };
  },
  async stream() {
    const stream = await fal.stream("me/words", { input: { text: "one two three" } });
    const events = [];
    for await (const event of stream) events.push(event);
    return { events, last: await stream.done() };
  },
  async upload() {
    const url = await fal.storage.upload(new File(["hello"], "hello.txt", { type: "text/plain" }));
    const result = await fal.run("me/echo", { input: { file: new Blob(["in the input"]) } });
    return { url, data: result.data };
  },
  async refused() {
    try {
      await fal.run("not/allowed", { input: {}, retry: { maxRetries: 0 } });
    } catch (error) {
      return { status: error.status, body: error.body };
    }
  },
};

console.log(JSON.stringify(await tasks[task]()));
