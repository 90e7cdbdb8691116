// Vercel's AI SDK with @ai-sdk/fal: pictures, speech, transcripts and video.
import assert from "node:assert/strict";
import { fal } from "@ai-sdk/fal";
import * as ai from "ai";
import { PICTURE, isPng, isSound, isVideo, silence } from "./media.mjs";

const drawn = await ai.generateImage({
  model: fal.image("fal-ai/flux/schnell"), prompt: "a cat", size: "512x512", seed: 1, n: 2,
  providerOptions: { fal: { numInferenceSteps: 4 } },
});
assert.equal(drawn.images.length, 2);
for (const image of drawn.images) isPng(image.uint8Array, 512, 512);
assert.equal(drawn.images[0].mediaType, "image/png");

const changed = await ai.generateImage({
  model: fal.image("fal-ai/flux-kontext/dev"), prompt: { text: "make it blue", images: [PICTURE] },
});
isPng(changed.image.uint8Array);

const spoken = await ai.generateSpeech({ model: fal.speech("fal-ai/minimax/speech-02-hd"), text: "hello" });
isSound(spoken.audio.uint8Array);

const heard = await ai.transcribe({ model: fal.transcription("whisper"), audio: silence() });
assert.ok(heard.text.length > 0);
assert.ok(heard.segments.length > 0);
assert.ok(heard.durationInSeconds > 0);

const video = await ai.experimental_generateVideo({
  model: fal.video("luma-dream-machine/ray-2"), prompt: "waves", aspectRatio: "16:9", duration: 5,
});
isVideo(video.video.uint8Array);

await assert.rejects(
  ai.generateImage({ model: fal.image("fal-ai/flux/schnell"), prompt: "a", size: "99999x512", maxRetries: 0 }),
  (error) => error.statusCode === 422 && error.message.includes("image_size"),
);
console.log("done");
