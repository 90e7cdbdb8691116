"""LiveKit's plug-in for fal: speech to text of audio frames, as an agent calls it."""

import asyncio

from livekit import rtc
from livekit.plugins import fal
from media import RATE, tone


async def main() -> None:
    speech = fal.WizperSTT(language="en")
    samples = tone(1.0)
    frame = rtc.AudioFrame(
        data=samples, sample_rate=RATE, num_channels=1, samples_per_channel=len(samples) // 2
    )
    event = await speech.recognize([frame])
    [alternative] = event.alternatives
    assert event.type.value == "final_transcript"
    assert alternative.text
    await speech.aclose()


asyncio.run(main())
print("done")
