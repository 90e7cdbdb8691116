"""huggingface_hub's InferenceClient with the provider "fal-ai" and fal's own key: it calls fal's hosts directly."""

import io
import os

from huggingface_hub import InferenceClient
from huggingface_hub.hf_api import InferenceProviderMapping
from huggingface_hub.inference._providers._common import HARDCODED_MODEL_INFERENCE_MAPPING
from media import is_picture, is_sound, is_video, png, wav

# The mapping of names at Hugging Face needs the network. This is the library's own place for names without one.
for model, task, endpoint_id in (
    ("black-forest-labs/FLUX.1-schnell", "text-to-image", "fal-ai/flux/schnell"),
    ("openai/whisper-large-v3", "automatic-speech-recognition", "fal-ai/whisper"),
    ("hexgrad/Kokoro-82M", "text-to-speech", "fal-ai/kokoro/american-english"),
    ("Wan-AI/Wan2.1-T2V-14B", "text-to-video", "fal-ai/wan-t2v"),
    ("Wan-AI/Wan2.1-I2V-14B-720P", "image-to-video", "fal-ai/wan-i2v"),
    ("black-forest-labs/FLUX.1-Kontext-dev", "image-to-image", "fal-ai/flux-kontext/dev"),
    ("briaai/RMBG-2.0", "image-segmentation", "fal-ai/bria/background/remove"),
):
    HARDCODED_MODEL_INFERENCE_MAPPING["fal-ai"][model] = InferenceProviderMapping(
        provider="fal-ai", hf_model_id=model, providerId=endpoint_id, status="live", task=task
    )

client = InferenceClient(provider="fal-ai", api_key=os.environ["FAL_KEY"])
drawn = client.text_to_image(
    "a cat", model="black-forest-labs/FLUX.1-schnell", width=256, height=128, num_inference_steps=4, seed=1
)
assert drawn.size == (256, 128)
drawn.load()
heard = client.automatic_speech_recognition(wav(), model="openai/whisper-large-v3")
assert heard.text
is_sound(client.text_to_speech("hello", model="hexgrad/Kokoro-82M"))
is_video(client.text_to_video("waves", model="Wan-AI/Wan2.1-T2V-14B"))
is_video(client.image_to_video(png(), prompt="waves", model="Wan-AI/Wan2.1-I2V-14B-720P"))
changed = client.image_to_image(png(), prompt="blue", model="black-forest-labs/FLUX.1-Kontext-dev")
out = io.BytesIO()
changed.save(out, "PNG")
is_picture(out.getvalue())
[mask] = client.image_segmentation(png(), model="briaai/RMBG-2.0")
assert mask.label == "mask"
print("done")
