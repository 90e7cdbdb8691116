"""falaw, a façade of fal for agents: health, prices, which models exist, a call with events, an upload."""

import sys
from pathlib import Path

import falaw
import httpx
from media import is_picture, png

FLUX = "fal-ai/flux/schnell"

status = falaw.health_check()
assert status.ok, status
wrong = falaw.health_check(api_key="wrong:key")
assert wrong.unauthorized, wrong
# One unknown id lets a whole batch of prices fail with 404, so falaw asks again for halves of it.
prices = falaw.fetch_model_prices([FLUX, "me/nothing", "fal-ai/flux/dev"])
assert [prices[name]["unit_price"] for name in sorted(prices)] == [0.025, 0.003], prices
assert falaw.check_model_liveness([FLUX, "me/nothing"]) == {FLUX: True, "me/nothing": False}
events: list[object] = []
drawn = falaw.call_fal(FLUX, {"prompt": "a cat", "image_size": "square"}, on_event=events.append)
is_picture(httpx.get(drawn["images"][0]["url"]).content, (512, 512))
assert len(events) > 2
red = Path("red.png")
red.write_bytes(png())
assert httpx.get(falaw.upload(str(red))).content == png()
try:
    falaw.call_fal(FLUX, {})
except falaw.FalBadRequest as error:
    assert "prompt" in str(error)
else:
    sys.exit("the input was accepted")
print("done")
