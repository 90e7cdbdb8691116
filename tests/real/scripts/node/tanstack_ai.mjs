// TanStack AI with @tanstack/ai-fal: pictures, video, speech, transcripts and sounds.
import assert from "node:assert/strict";
import * as ai from "@tanstack/ai";
import { falAudio, falImage, falSpeech, falTranscription, falVideo } from "@tanstack/ai-fal";
import { fetched, isPng, isSound, isVideo, silence } from "./media.mjs";

const drawn = await ai.generateImage({
  adapter: falImage("fal-ai/flux/schnell"), prompt: "a cat", size: "square", numberOfImages: 2,
});
assert.equal(drawn.images.length, 2);
for (const image of drawn.images) isPng(await fetched(image.url), 512, 512);
assert.equal(drawn.usage.unitsBilled, 2);

const job = await ai.generateVideo({ adapter: falVideo("fal-ai/kling-video/v2.1/master/text-to-video"), prompt: "waves" });
let status;
do {
  status = await ai.getVideoJobStatus({ adapter: falVideo("fal-ai/kling-video/v2.1/master/text-to-video"), jobId: job.jobId });
  await new Promise((later) => setTimeout(later, 20));
} while (status.status !== "completed");
isVideo(await fetched(status.url));

const spoken = await ai.generateSpeech({ adapter: falSpeech("fal-ai/kokoro/american-english"), text: "hello" });
isSound(Buffer.from(spoken.audio, "base64"));
const audio = new Blob([silence()], { type: "audio/wav" });
const heard = await ai.generateTranscription({ adapter: falTranscription("fal-ai/whisper"), audio, language: "en" });
assert.ok(heard.text.length > 0);
assert.ok(heard.segments.length > 0);
const sound = await ai.generateAudio({ adapter: falAudio("fal-ai/ace-step/prompt-to-audio"), prompt: "waves" });
isSound(await fetched(sound.audio.url));
console.log("done");
process.exit(0);
