// @fal-ai/client while fal fails now and then: each call still ends as the client's rules say, and nothing is lost.
import assert from "node:assert/strict";
import { createFalClient } from "@fal-ai/client";
import { refused } from "./media.mjs";

const LLM = "fal-ai/any-llm", CONTROL = `${process.env.FAL_BASE_URL}/_emulator`;
const fal = createFalClient({ credentials: process.env.FAL_KEY, retry: { maxRetries: 3, baseDelay: 20, maxDelay: 100 } });

async function control(path, body) {
  const headers = { "Content-Type": "application/json" };
  const answer = await fetch(`${CONTROL}/${path}`, body && { method: "POST", headers, body: JSON.stringify(body) });
  assert.equal(answer.status, 200, await answer.clone().text());
  return answer.json();
}
const fail = (...faults) => control("faults", faults);
async function allStruck() {
  assert.deepEqual(await control("faults"), []);
}
async function asked(text, options = { pollInterval: 10 }) {
  const { data } = await fal.subscribe(LLM, { input: { prompt: text }, ...options });
  assert.ok(data.output.includes(text));
}

// What the client repeats: 429, 502, 503, 504, and connections that break. It waits a second before most of these.
await fail(
  { kind: "answer", status: 429, retry_after: 1, on: "submit" },
  { kind: "answer", status: 503, retry_after: 1, on: "status" },
  { kind: "html", status: 502, on: "result" },
);
await asked("one");
await allStruck();
await fail({ kind: "reset", on: "run" }, { kind: "html", status: 504, on: "run" });
assert.ok((await fal.run(LLM, { input: { prompt: "two" } })).data.output.includes("two"));
await allStruck();
await fail({ kind: "refuse", seconds: 0.05, on: "status" }, { kind: "reset", on: "result" });
await asked("three");
await allStruck();

// What it reports.
await fail({ kind: "balance", on: "run" });
await refused(fal.run(LLM, { input: { prompt: "a" } }), 403);
await fail({ kind: "answer", status: 500, error_type: "runner_server_error", on: "run" });
await refused(fal.run(LLM, { input: { prompt: "a" } }), 500);
await fail({ kind: "close", on: "stream", taken: true, events: 3 });
const stream = await fal.stream(LLM, { input: { prompt: "a" } });
await assert.rejects(stream.done());
await allStruck();

// A restart in the middle: the client connects again, and follows the same request.
const following = fal.subscribe("fal-ai/flux-lora-fast-training", {
  input: { images_data_url: "a", steps: 1000 }, pollInterval: 20,
});
await control("restart", { downtime: 0.05 });
assert.ok((await following).data.diffusers_lora_file.url);
console.log("done");
process.exit(0);
