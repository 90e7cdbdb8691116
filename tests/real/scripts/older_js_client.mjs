// An older JavaScript client of fal against an emulator: `node older_js_client.mjs http://127.0.0.1:PORT`, FAL_KEY set.
import { createRequire } from "node:module";

const fal = createRequire(process.cwd() + "/")("@fal-ai/serverless-client");
const base = process.argv[2];
fal.config({
  credentials: process.env.FAL_KEY,
  requestMiddleware: async (request) => ({ ...request, url: request.url.replace(/^https:\//, base) }),
});
const text = (url) => fetch(url).then((answer) => answer.text());
const url = await fal.storage.upload(new Blob(["hello"], { type: "text/plain" }));
const output = await fal.subscribe("me/echo", { input: { file: new Blob(["in the input"]) }, logs: true });
console.log(JSON.stringify({ uploaded: await text(url), in_the_input: await text(output.file) }));
process.exit(0);
