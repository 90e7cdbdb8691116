// fal's official JavaScript client with workflows: one that succeeds, and the same one with a step that fails.
import { fal } from "@fal-ai/client";

const contents = {
  name: "story",
  version: "1.0.0",
  nodes: {
    text: { id: "text", type: "run", app: "me/poet", depends: [], input: { theme: "$input.theme" } },
    image: { id: "image", type: "run", app: "fal-ai/flux/schnell", depends: ["text"], input: { prompt: "$text.poem" } },
    voice: { id: "voice", type: "run", app: "me/reader", depends: ["text"], input: { text: "$text.poem" } },
  },
  output: { poem: "$text.poem", image: "$image.images.0.url", sound: "$voice.audio" },
  schema: { input: { theme: { type: "string", required: true } }, output: {} },
};
const saved = await fetch("https://api.fal.ai/v1/workflows", {
  method: "POST",
  headers: { Authorization: `Key ${process.env.FAL_KEY}`, "Content-Type": "application/json" },
  body: JSON.stringify({ name: "story", title: "A story", contents }),
});
if (saved.status !== 201) throw new Error(await saved.text());
const { workflow } = await saved.json();
const id = `workflows/${workflow.user_nickname}/${workflow.name}`;

async function streamed(endpoint, input) {
  const stream = await fal.stream(endpoint, { input });
  const events = [];
  for await (const event of stream) events.push(event);
  return { events, last: await stream.done() };
}

async function failure(call) {
  try {
    await call;
  } catch (error) {
    return { status: error.status, body: error.body };
  }
}

const queued = { pollInterval: 20 };
const updates = [];
const onQueueUpdate = (update) => updates.push(update.status);
const sea = { theme: "sea" }, war = { theme: "war" };
console.log(
  JSON.stringify({
    run: (await fal.run(id, { input: sea })).data,
    subscribed: (await fal.subscribe(id, { input: sea, ...queued, onQueueUpdate })).data,
    updates,
    stream: await streamed(id, sea),
    adHoc: (await fal.run("workflows/execute", { input: { input: sea, workflow: contents } })).data,
    adHocStream: await streamed("workflows/execute", { input: sea, workflow: contents }),
    failedRun: await failure(fal.run(id, { input: war, retry: { maxRetries: 0 } })),
    failedSubscribe: await failure(fal.subscribe(id, { input: war, ...queued })),
    failedStream: await streamed(id, war),
  }),
);
