// In a page of another origin: fal's client calls fal with a key, as programs of one user do. esbuild bundles it.
import { fal } from "@fal-ai/client";

window.started = (async () => {
  fal.config({ credentials: new URLSearchParams(location.search).get("key"), suppressLocalCredentialsWarning: true });
  const updates = new Set(), found = {};
  const input = { prompt: "a cat", image_size: "square", seed: 1 };
  const drawn = await fal.subscribe("fal-ai/flux/schnell", {
    input, logs: true, pollInterval: 10, onQueueUpdate: (update) => updates.add(update.status),
  });
  found.updates = [...updates];
  const image = new Image();
  image.src = drawn.data.images[0].url;
  await image.decode();
  found.image = [image.naturalWidth, image.naturalHeight];
  found.fetched = (await (await fetch(image.src)).blob()).type;
  const streamed = await fal.subscribe("fal-ai/flux/schnell", { input, mode: "streaming", connectionMode: "client" });
  found.requestId = streamed.requestId.length;
  const stream = await fal.stream("fal-ai/any-llm", { input: { prompt: "the sea" }, connectionMode: "client" });
  found.text = (await stream.done()).output.includes("the sea");
  const uploaded = await fal.storage.upload(new File(["hello"], "hello.txt", { type: "text/plain" }));
  found.uploaded = await (await fetch(uploaded)).text();
  found.frames = await new Promise((resolve, reject) => {
    const sizes = [];
    const connection = fal.realtime.connect("fal-ai/fast-lcm-diffusion", {
      throttleInterval: 0, onError: reject,
      onResult: async (result) => {
        const picture = await createImageBitmap(new Blob([result.images[0].content], { type: "image/png" }));
        sizes.push(picture.width);
        if (sizes.length === 2) { connection.close(); resolve(sizes); }
        else connection.send({ prompt: "a cat", seed: 1, size: 128 });
      },
    });
    connection.send({ prompt: "a cat", seed: 1, size: 64 });
  });
  await fal.run("fal-ai/flux/schnell", { input: {} }).catch((error) => (found.refused = error.status));
  return found;
})();
