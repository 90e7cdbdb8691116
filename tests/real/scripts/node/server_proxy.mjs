// @fal-ai/server-proxy in Express and Hono, with @fal-ai/client as in a browser: it knows the proxy, and no key.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { createFalClient } from "@fal-ai/client";
import * as expressProxy from "@fal-ai/server-proxy/express";
import { createRouteHandler } from "@fal-ai/server-proxy/hono";
import express from "express";
import { Hono } from "hono";
import { fetched, isPng, refused } from "./media.mjs";

const FLUX = "fal-ai/flux/schnell", LLM = "fal-ai/any-llm";
const CONFIG = { allowedEndpoints: [FLUX, `${LLM}/**`, LLM], allowUnauthorizedRequests: true };

function inExpress() {
  const app = express();
  app.all(expressProxy.route, express.json(), expressProxy.createHandler(CONFIG));
  return createServer(app);
}

function inHono() {
  const app = new Hono(), handler = createRouteHandler(CONFIG);
  app.all("/api/fal/proxy", handler);
  return createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const body = chunks.length ? Buffer.concat(chunks) : undefined;
    const answer = await app.fetch(
      new Request(`http://localhost${request.url}`, { method: request.method, headers: request.headers, body }),
    );
    response.writeHead(answer.status, Object.fromEntries(answer.headers));
    response.end(Buffer.from(await answer.arrayBuffer()));
  });
}

for (const [server, passesStatus] of [[inExpress(), false], [inHono(), true]]) {
  await once(server.listen(0, "127.0.0.1"), "listening");
  const url = `http://127.0.0.1:${server.address().port}/api/fal/proxy`;
  const fal = createFalClient({ proxyUrl: { url, when: "always" }, credentials: () => undefined });
  for (const mode of [{ pollInterval: 20 }, { mode: "streaming" }]) {
    const result = await fal.subscribe(FLUX, { input: { prompt: "a cat", image_size: "square" }, logs: true, ...mode });
    isPng(await fetched(result.data.images[0].url), 512, 512);
  }
  assert.ok((await fal.run(LLM, { input: { prompt: "the sea" } })).data.output.includes("the sea"));
  const stream = await fal.stream(LLM, { input: { prompt: "the sea" } });
  for await (const event of stream) assert.ok("output" in event);
  const file = await fal.storage.upload(new Blob(["hello"], { type: "text/plain" }));
  assert.equal(Buffer.from(await fetched(file)).toString(), "hello");
  await refused(fal.run("fal-ai/flux/dev", { input: { prompt: "a" }, retry: { maxRetries: 0 } }), 400);
  // Its handler for Express answers 200 to every call that reached fal.
  if (passesStatus) await refused(fal.run(FLUX, { input: {} }), 422);
}
console.log("done");
process.exit(0);
