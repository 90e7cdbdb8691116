// @fal-ai/serverless-client, the JavaScript client before @fal-ai/client, with its whole range.
import assert from "node:assert/strict";
import * as fal from "@fal-ai/serverless-client";
import { WebSocket } from "ws";
import { fetched, isPng, refused } from "./media.mjs";

globalThis.WebSocket ??= WebSocket; // Node 20 has none
fal.config({ credentials: process.env.FAL_KEY });
const FLUX = "fal-ai/flux/schnell", LLM = "fal-ai/any-llm", LIVE = "fal-ai/fast-lcm-diffusion";
const TRAINING = "fal-ai/flux-lora-fast-training";
const CAT = { prompt: "a cat", image_size: "square", seed: 1 };

for (const options of [{ pollInterval: 10 }, { mode: "streaming" }, { mode: "streaming", connectionMode: "client" }]) {
  const updates = [], enqueued = [], lines = new Set();
  const result = await fal.subscribe(FLUX, {
    input: CAT, logs: true, timeout: 20000, ...options,
    onEnqueue: (id) => enqueued.push(id),
    onQueueUpdate: (update) => { updates.push(update.status); update.logs?.forEach((log) => lines.add(log.message)); },
  });
  isPng(await fetched(result.images[0].url), 512, 512);
  assert.equal(enqueued.length, 1);
  assert.equal(updates.at(-1), "COMPLETED");
  assert.ok([...lines].some((line) => line.includes("4/4")), `logs: ${[...lines]}`);
}

const submitted = await fal.queue.submit(LLM, { input: { prompt: "the sea" }, webhookUrl: "https://example.com/hook" });
const requestId = submitted.request_id;
assert.equal((await fal.queue.subscribeToStatus(LLM, { requestId, pollInterval: 10 })).status, "COMPLETED");
assert.equal((await fal.queue.status(LLM, { requestId, logs: true })).status, "COMPLETED");
const text = (await fal.queue.result(LLM, { requestId })).output;
assert.ok(text.includes("the sea"));
const long = await fal.queue.submit(TRAINING, { input: { images_data_url: "https://example.com/a.zip", steps: 10000 } });
await fal.queue.cancel(TRAINING, { requestId: long.request_id });
await fal.queue.subscribeToStatus(TRAINING, { requestId: long.request_id, pollInterval: 10 });
await refused(fal.queue.result(TRAINING, { requestId: long.request_id }), 499);

assert.equal((await fal.run(LLM, { input: { prompt: "the sea" } })).output, text);
for (const connectionMode of ["client", "server"]) {
  const stream = await fal.stream(LLM, { input: { prompt: "the sea" }, connectionMode });
  let events = 0; // by its listener, as its iterator takes one event in 16 ms and leaves out the rest at the end
  stream.on("data", () => (events += 1));
  assert.equal((await stream.done()).output, text);
  assert.ok(events > 10);
}

await new Promise((resolve, reject) => {
  const connection = fal.realtime.connect(LIVE, {
    throttleInterval: 0, maxBuffering: 2, onError: reject,
    onResult: (result) => {
      try { isPng(result.images[0].content, 64, 64); } catch (error) { reject(error); }
      connection.close();
      resolve();
    },
  });
  connection.send({ prompt: "a cat", seed: 1, size: 64 });
});

const url = await fal.storage.upload(new File(["grüße"], "hello world.txt", { type: "text/plain" }));
assert.equal(Buffer.from(await fetched(url)).toString(), "grüße");
const inside = await fal.storage.transformInput({ deep: { file: new Blob(["in the input"]) } });
assert.equal(Buffer.from(await fetched(inside.deep.file)).toString(), "in the input");

await refused(fal.run(FLUX, { input: {} }), 422);
await refused(fal.subscribe(FLUX, { input: {} }), 422);
await refused(fal.run("me/nothing", { input: {} }), 404);
console.log("done");
process.exit(0);
