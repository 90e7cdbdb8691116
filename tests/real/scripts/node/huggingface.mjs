// @huggingface/inference with provider "fal-ai" and fal's own key: fal.run and queue.fal.run are called directly.
import assert from "node:assert/strict";
import { InferenceClient } from "@huggingface/inference";
import * as consts from "../node_modules/@huggingface/inference/dist/esm/providers/consts.js";
import { PICTURE, isPng, isSound, isVideo, silence } from "./media.mjs";

// The mapping of names at Hugging Face needs the network. This is the library's own place for names without one.
const map = (name, task, providerId) => {
  consts.HARDCODED_MODEL_INFERENCE_MAPPING["fal-ai"][name] =
    { provider: "fal-ai", hfModelId: name, providerId, status: "live", task };
  return { provider: "fal-ai", model: name };
};
// Its timers do not keep a program alive that has nothing else to do.
const alive = setInterval(() => {}, 1000);
const client = new InferenceClient(process.env.FAL_KEY);
const bytes = async (blob) => new Uint8Array(await blob.arrayBuffer());

const drawn = await client.textToImage({
  ...map("black-forest-labs/FLUX.1-schnell", "text-to-image", "fal-ai/flux/schnell"),
  inputs: "a cat", parameters: { num_inference_steps: 4, image_size: "square" },
}, { outputType: "blob" });
isPng(await bytes(drawn), 512, 512);
const heard = await client.automaticSpeechRecognition({
  ...map("openai/whisper-large-v3", "automatic-speech-recognition", "fal-ai/whisper"),
  data: new Blob([silence()], { type: "audio/wav" }),
});
assert.ok(heard.text.length > 0);
const video = await client.textToVideo({
  ...map("Wan-AI/Wan2.1-T2V-14B", "text-to-video", "fal-ai/wan-t2v"), inputs: "waves", parameters: {},
});
isVideo(await bytes(video));
const spoken = await client.textToSpeech({
  ...map("hexgrad/Kokoro-82M", "text-to-speech", "fal-ai/kokoro/american-english"), inputs: "hello",
});
isSound(await bytes(spoken));
const changed = await client.imageToImage({
  ...map("black-forest-labs/FLUX.1-Kontext-dev", "image-to-image", "fal-ai/flux-kontext/dev"),
  inputs: new Blob([PICTURE], { type: "image/png" }), parameters: { prompt: "blue" },
});
isPng(await bytes(changed));
const moving = await client.imageToVideo({
  ...map("Wan-AI/Wan2.1-I2V-14B-720P", "image-to-video", "fal-ai/wan-i2v"),
  inputs: new Blob([PICTURE], { type: "image/png" }), parameters: { prompt: "waves" },
});
isVideo(await bytes(moving));
clearInterval(alive);
console.log("done");
