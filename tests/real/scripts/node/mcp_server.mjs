// fal-ai-mcp-server from npm, in a process that a client of the Model Context Protocol starts.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { PICTURE, fetched, isPng } from "./media.mjs";

const FLUX = "fal-ai/flux/schnell", TRAINING = "fal-ai/flux-lora-fast-training";
const program = new URL("../node_modules/fal-ai-mcp-server/dist/index.js", import.meta.url).pathname;
const client = new Client({ name: "test", version: "1" });
await client.connect(new StdioClientTransport({ command: process.execPath, args: [program], env: process.env }));

async function call(name, args) {
  const answer = await client.callTool({ name, arguments: args });
  const text = answer.content[0].text;
  assert.ok(!answer.isError, text);
  return JSON.parse(text);
}

async function completed(app_id, request_id) {
  while ((await call("status", { app_id, request_id })).status !== "COMPLETED") {
    await new Promise((later) => setTimeout(later, 20));
  }
}

assert.equal((await client.listTools()).tools.length, 12);
const listed = await call("models", { category: "text-to-image", status: "active", limit: 100 });
assert.ok(listed.models.some((model) => model.id === FLUX && model.name));
assert.ok(listed.models.every((model) => model.category === "text-to-image"));
assert.ok((await call("search", { query: "flux" })).models.some((model) => model.id.includes("flux")));
const [found] = (await call("find", { endpoint_ids: [FLUX], expand: ["openapi-3.0"] })).models;
assert.ok(JSON.stringify(found.openapi).includes("num_inference_steps"));
assert.equal((await call("pricing", { endpoint_ids: [FLUX] })).prices[0].unit_price, 0.003);
const estimate = { estimate_type: "unit_price", endpoints: { [FLUX]: { unit_quantity: 10 } } };
assert.ok(Math.abs((await call("estimate_cost", estimate)).total_cost - 0.03) < 1e-9);

const drawing = await call("generate", { app_id: FLUX, input_data: { prompt: "a cat", image_size: "square" } });
await completed(FLUX, drawing.request_id);
const drawn = await call("result", { app_id: FLUX, request_id: drawing.request_id });
isPng(await fetched(drawn.images[0].url), 512, 512);
const long = await call("generate", { app_id: TRAINING, input_data: { images_data_url: "a", steps: 10000 } });
assert.ok((await call("cancel", { app_id: TRAINING, request_id: long.request_id })).status.startsWith("CANCEL"));

const folder = mkdtempSync(join(tmpdir(), "mcp-"));
writeFileSync(join(folder, "red.png"), PICTURE);
const uploaded = await call("upload", { file_path: join(folder, "red.png") });
assert.deepEqual(Buffer.from(await fetched(uploaded.url)), PICTURE);
rmSync(folder, { recursive: true });
const refused = await client.callTool({ name: "usage", arguments: { endpoint_ids: [FLUX] } });
assert.ok(JSON.stringify(refused).includes("403")); // usage needs an admin key
await client.close();
console.log("done");
