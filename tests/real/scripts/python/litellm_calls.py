"""litellm with models of fal: pictures by several families, edits, video, and chat with a vision model."""

import asyncio
import io
import os
import time

os.environ["FAL_AI_API_KEY"] = os.environ["FAL_KEY"]
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # its list of prices would come from the network

import httpx
import litellm
from media import is_picture, is_video, png


def fetched(url: str) -> bytes:
    return httpx.get(url).raise_for_status().content


for model in (
    "flux/schnell",
    "flux/dev",
    "fal-ai/flux-pro/v1.1",
    "fal-ai/flux-pro/v1.1-ultra",
    "fal-ai/recraft/v3/text-to-image",
    "fal-ai/ideogram/v3",
    "fal-ai/imagen4/preview",
    "fal-ai/bytedance/seedream/v3/text-to-image",
    "fal-ai/nano-banana",
    "fal-ai/stable-diffusion-v35-medium",
    "bria/text-to-image/3.2",
):
    answer = litellm.image_generation(model=f"fal_ai/{model}", prompt="a cat")
    is_picture(fetched(answer.data[0].url))
many = litellm.image_generation(model="fal_ai/fal-ai/flux/schnell", prompt="a cat", n=2, size="512x512")
assert [is_picture(fetched(image.url), (512, 512)) for image in many.data] == [None, None]
answer = asyncio.run(litellm.aimage_generation(model="fal_ai/fal-ai/flux/schnell", prompt="a cat"))
is_picture(fetched(answer.data[0].url))

edited = litellm.image_edit(model="fal_ai/fal-ai/nano-banana/edit", image=io.BytesIO(png()), prompt="blue")
is_picture(fetched(edited.data[0].url))

video = litellm.video_generation(
    model="fal_ai/fal-ai/bytedance/seedance/v1/pro/text-to-video",
    prompt="waves",
    seconds="5",
    size="1280x720",
)
while (state := litellm.video_status(video_id=video.id)).status != "completed":
    assert state.status in ("queued", "in_progress"), state
    time.sleep(0.02)
is_video(litellm.video_content(video_id=video.id))

try:
    litellm.image_generation(model="fal_ai/fal-ai/flux/schnell", prompt="a", num_inference_steps=999)
except litellm.exceptions.BadRequestError as error:
    assert "num_inference_steps" in str(error), error
else:
    raise AssertionError("the input was accepted")
print("done")
