// @fal-ai/client with its whole range, in a program of `emulator exec`.
import assert from "node:assert/strict";
import { fal } from "@fal-ai/client";
import { WebSocket } from "ws";
import { fetched, isPng, refused } from "./media.mjs";

globalThis.WebSocket ??= WebSocket; // Node 20 has none
const FLUX = "fal-ai/flux/schnell", LLM = "fal-ai/any-llm", LIVE = "fal-ai/fast-lcm-diffusion";
const TRAINING = "fal-ai/flux-lora-fast-training";
const CAT = { prompt: "a cat", image_size: "square", seed: 1 };
const LONG = { images_data_url: "https://example.com/a.zip", steps: 10000 };

for (const options of [{ pollInterval: 10 }, { mode: "streaming" }, { mode: "streaming", connectionMode: "client" }]) {
  const updates = [], enqueued = [], lines = new Set();
  const result = await fal.subscribe(FLUX, {
    input: { ...CAT, num_images: 2 }, logs: true, priority: "low", startTimeout: 30, timeout: 20000, ...options,
    onEnqueue: (id) => enqueued.push(id),
    onQueueUpdate: (update) => { updates.push(update.status); update.logs?.forEach((log) => lines.add(log.message)); },
  });
  for (const image of result.data.images) isPng(await fetched(image.url), 512, 512);
  assert.deepEqual(enqueued, [result.requestId]);
  assert.equal(updates.at(-1), "COMPLETED");
  assert.ok([...lines].some((line) => line.includes("4/4")), `logs: ${[...lines]}`);
}

const { request_id: requestId, ...urls } = await fal.queue.submit(LLM, {
  input: { prompt: "the sea" }, webhookUrl: "https://example.com/hook", hint: "me", priority: "low",
});
assert.ok(urls.response_url.startsWith("https://queue.fal.run/fal-ai/any-llm/requests/"));
const completed = await fal.queue.subscribeToStatus(LLM, { requestId, pollInterval: 10, logs: true });
assert.equal(completed.status, "COMPLETED");
assert.equal((await fal.queue.status(LLM, { requestId, logs: true })).status, "COMPLETED");
const text = (await fal.queue.result(LLM, { requestId })).data.output;
assert.ok(text.includes("the sea"));

const long = await fal.queue.submit(TRAINING, { input: LONG });
const statuses = await fal.queue.streamStatus(TRAINING, { requestId: long.request_id, logs: true });
for await (const status of statuses) {
  if (status.status === "IN_PROGRESS") break;
}
await fal.queue.cancel(TRAINING, { requestId: long.request_id });
await fal.queue.subscribeToStatus(TRAINING, { requestId: long.request_id, pollInterval: 10 });
await refused(fal.queue.result(TRAINING, { requestId: long.request_id }), 499);

const aborting = new AbortController();
const aborted = fal.subscribe(TRAINING, { input: LONG, pollInterval: 10, abortSignal: aborting.signal,
  onQueueUpdate: () => aborting.abort() });
await assert.rejects(aborted);

assert.equal((await fal.run(LLM, { input: { prompt: "the sea" } })).data.output, text);
const stream = await fal.stream(LLM, { input: { prompt: "the sea" } });
let events = 0;
for await (const event of stream) { events += 1; assert.ok("output" in event); }
assert.ok(events > 10);
assert.equal((await stream.done()).output, text);

for (const tokenProvider of [undefined, async (app) => {
  const token = await fetch("https://rest.fal.ai/tokens/realtime", {
    method: "POST",
    headers: { Authorization: `Key ${process.env.FAL_KEY}`, "Content-Type": "application/json" },
    body: JSON.stringify({ allowed_apps: ["fast-lcm-diffusion"], token_expiration: 120 }),
  });
  assert.equal(token.status, 200, await token.clone().text());
  const body = await token.json();
  return typeof body === "string" ? body : body.token;
}]) {
  const wanted = [64, 128];
  await new Promise((resolve, reject) => {
    const connection = fal.realtime.connect(LIVE, {
      throttleInterval: 0, maxBuffering: 2, tokenProvider, tokenExpirationSeconds: 120, onError: reject,
      onResult: (result) => {
        const side = wanted.shift();
        try { isPng(result.images[0].content, side, side); } catch (error) { reject(error); }
        if (wanted.length) connection.send({ prompt: "a cat", seed: 1, size: wanted[0] });
        else { connection.close(); resolve(); }
      },
    });
    connection.send({ prompt: "a cat", seed: 1, size: wanted[0] });
  });
}

const hello = new File(["grüße"], "hello world.txt", { type: "text/plain" });
assert.equal(Buffer.from(await fetched(await fal.storage.upload(hello))).toString(), "grüße");
const inside = await fal.storage.transformInput({ deep: [{ file: new Blob(["in the input"]) }], other: 1 });
assert.equal(Buffer.from(await fetched(inside.deep[0].file)).toString(), "in the input");
const secret = await fal.storage.upload(hello, {
  lifecycle: { expiresIn: "1h", initialAcl: { default: "forbid", rules: [{ user: "emulator", decision: "allow" }] } },
});
assert.equal((await fetch(secret)).status, 403);
const large = Buffer.alloc(91 * 1024 * 1024, "0123456789abcdef"); // in parts: more than 90 MiB
const stored = await fetched(await fal.storage.upload(new Blob([large])));
assert.equal(Buffer.compare(Buffer.from(stored), large), 0);

await refused(fal.run(FLUX, { input: {} }), 422);
await refused(fal.subscribe(FLUX, { input: { prompt: "a", num_images: 99 } }), 422);
await refused(fal.run("me/nothing", { input: {} }), 404);
fal.config({ credentials: "wrong:key" });
await refused(fal.run(LLM, { input: { prompt: "a" } }), 401);
console.log("done");
process.exit(0);
