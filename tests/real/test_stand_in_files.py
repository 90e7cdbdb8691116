"""The sound and video of the stand-ins: Chromium plays them, and ffprobe reads them."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from fal_async import Session
from fal_async.emulator import Emulator
from tests.real.chromium import chromium

FILES: list[tuple[str, dict[str, Any], str, str]] = [
    ("fal-ai/veo3", {"prompt": "a"}, "video", "h264"),
    ("fal-ai/veo3", {"prompt": "a", "aspect_ratio": "9:16"}, "video", "h264"),
    ("fal-ai/kling-video/v1/standard/text-to-video", {"prompt": "a", "aspect_ratio": "1:1"}, "video", "h264"),
    (
        "fal-ai/birefnet/v2/video",
        {"video_url": "https://example.com/a.mp4", "video_output_type": "VP9 (.webm)"},
        "video",
        "vp9",
    ),
    ("fal-ai/kokoro/american-english", {"prompt": "word " * 10}, "audio", "pcm_s16le"),
    ("fal-ai/minimax/speech-02-hd", {"text": "word " * 20}, "audio", "mp3"),
]
PLAY = """new Promise((done, fail) => {{
  const shown = document.createElement("{kind}");
  shown.muted = true;
  shown.onended = () => done([shown.duration, shown.videoWidth || 0, shown.videoHeight || 0]);
  shown.onerror = () => fail(new Error(shown.error.message));
  shown.src = "{url}";
  shown.playbackRate = 8;
  shown.play().catch(fail);
}})"""


async def probed(file: Path) -> Any:
    process = await asyncio.create_subprocess_exec(
        *("ffprobe", "-v", "error", "-of", "json", "-show_streams", "-show_format", str(file)),
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    return json.loads(out)


async def test_sound_and_video_of_the_stand_ins_are_played_by_chromium_and_read_by_ffprobe(
    tmp_path: Path,
) -> None:
    if shutil.which("chromium") is None or shutil.which("ffprobe") is None:
        pytest.skip("needs Chromium and ffprobe")
    async with (
        Emulator(speed=100) as emulator,
        Session(emulator.key, hosts=emulator.hosts) as fal,
        chromium(tmp_path / "profile", "--autoplay-policy=no-user-gesture-required") as browser,
    ):
        await browser.open(f"{emulator.url}/_emulator")
        for endpoint_id, input, kind, codec in FILES:
            url = (await fal.run(endpoint_id, input)).data[kind]["url"]
            duration, width, height = await browser.ask(PLAY.format(kind=kind, url=url))
            target = tmp_path / url.rpartition("/")[2]
            await fal.storage.download(url, target)
            found = await probed(target)
            first = found["streams"][0]
            assert first["codec_name"] == codec
            assert float(found["format"]["duration"]) == pytest.approx(duration, abs=0.2)
            assert (first.get("width", 0), first.get("height", 0)) == (width, height)
            target.unlink()
