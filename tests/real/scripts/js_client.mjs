// fal's JavaScript client against an emulator: `node js_client.mjs http://127.0.0.1:PORT`, FAL_KEY set.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const require = createRequire(process.cwd() + "/");
const base = process.argv[2];
// The client's hosts are constants, so fal's hosts are replaced by paths of the emulator here; the rest is unchanged.
const here = (url) => String(url).replace(/^(https|wss):\/\//, (_, scheme) =>
  (scheme === "wss" ? base.replace("http", "ws") : base) + "/");
const realFetch = globalThis.fetch;
globalThis.fetch = (url, options) => realFetch(here(url instanceof Request ? url.url : url), options);
const Socket = require("ws").WebSocket;
globalThis.WebSocket = class extends Socket {
  constructor(url, ...rest) { super(here(url), ...rest); }
};
const { fal } = await import(pathToFileURL(require.resolve("@fal-ai/client")));

const stream = await fal.stream("fal-ai/any-llm", { input: { prompt: "the sea" } });
let events = 0;
for await (const _ of stream) events += 1;
const last = await stream.done();

const picture = await new Promise((resolve, reject) => {
  const connection = fal.realtime.connect("fal-ai/fast-lcm-diffusion", {
    onResult: (result) => { resolve(result); connection.close(); },
    onError: reject,
  });
  connection.send({ prompt: "a cat", seed: 1, size: 64 });
});
const png = Buffer.from(picture.images[0].content).subarray(0, 4).toString("hex");
console.log(JSON.stringify({ events, last, png }));
process.exit(0);
