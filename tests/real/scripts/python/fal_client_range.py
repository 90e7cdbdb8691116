"""fal-client with its whole range, synchronous and asynchronous, in a program of `emulator exec`."""

import asyncio
import io
import os
import sys
import tempfile
from contextlib import aclosing
from pathlib import Path
from typing import Any

import fal_client
import httpx
import msgpack
from fal_client.client import MULTIPART_THRESHOLD
from PIL import Image

FLUX, LLM, LIVE, TRAINING = (
    "fal-ai/flux/schnell",
    "fal-ai/any-llm",
    "fal-ai/fast-lcm-diffusion",
    "fal-ai/flux-lora-fast-training",
)
CAT = {"prompt": "a cat", "image_size": "square", "seed": 1, "num_images": 2}
LONG = {"images_data_url": "https://example.com/a.zip", "steps": 10_000}
PRIVATE = fal_client.StorageSettings(
    expires_in="1h",
    initial_acl=fal_client.StorageACL(
        default="forbid", rules=[fal_client.StorageACLRule(user="emulator", decision="allow")]
    ),
)


def is_picture(data: bytes, size: tuple[int, int], kind: str = "PNG") -> None:
    with Image.open(io.BytesIO(data)) as picture:
        picture.load()
        assert (picture.size, picture.format) == (size, kind)


def fetched(url: str) -> bytes:
    return httpx.get(url).raise_for_status().content


def is_refused(error: fal_client.FalClientHTTPError, status: int, kind: str | None) -> None:
    assert (error.status_code, error.error_type) == (status, kind), error


def queue() -> None:
    enqueued: list[str] = []
    updates: list[fal_client.Status] = []
    answer = fal_client.subscribe(
        FLUX,
        CAT,
        with_logs=True,
        interval=0.005,
        on_enqueue=enqueued.append,
        on_queue_update=updates.append,
        priority="low",
        hint="me",
        start_timeout=30,
        client_timeout=30,
    )
    for image in answer["images"]:
        is_picture(fetched(image["url"]), (512, 512))
    assert isinstance(updates[-1], fal_client.Completed)
    assert updates[-1].logs
    assert "4/4" in updates[-1].logs[-1]["message"]
    assert updates[-1].metrics["inference_time"] > 0
    [request_id] = enqueued
    assert fal_client.result(FLUX, request_id) == answer
    assert isinstance(fal_client.status(FLUX, request_id, with_logs=True), fal_client.Completed)

    handle = fal_client.submit(LLM, {"prompt": "the sea"}, webhook_url="https://example.com/hook")
    assert isinstance(list(handle.iter_events(interval=0.005))[-1], fal_client.Completed)
    assert "the sea" in handle.get()["output"]


def cancelled() -> None:
    handle = fal_client.submit(TRAINING, LONG)
    for event in handle.iter_events(with_logs=True, interval=0.005):
        if isinstance(event, fal_client.InProgress) and event.logs:
            break
    fal_client.cancel(TRAINING, handle.request_id)
    *_, last = handle.iter_events(interval=0.005)
    assert isinstance(last, fal_client.Completed)
    assert last.error_type == "client_cancelled"
    try:
        handle.get()
    except fal_client.FalClientHTTPError as error:
        is_refused(error, 499, "client_cancelled")
    try:
        fal_client.subscribe(TRAINING, LONG, client_timeout=1.1)
    except fal_client.FalClientTimeoutError as error:
        assert error.request_id is not None
    else:
        raise AssertionError("no time-out")


def direct() -> None:
    assert "the sea" in fal_client.run(LLM, {"prompt": "the sea"}, hint="me", start_timeout=20)["output"]
    words = list(fal_client.stream(LLM, {"prompt": "the sea"}))
    assert len(words) > 10
    assert words[-1]["partial"] is False
    for options in ({"max_buffering": 2}, {"use_jwt": False}):
        with fal_client.realtime(LIVE, **options) as connection:
            for size in (64, 128):
                connection.send({"prompt": "a cat", "seed": 1, "size": size})
                is_picture(connection.recv()["images"][0]["content"], (size, size))
    with fal_client.ws_connect(LIVE, path="/realtime") as socket:
        socket.send(msgpack.packb({"prompt": "a cat", "size": 64}))
        is_picture(msgpack.unpackb(socket.recv())["images"][0]["content"], (64, 64))


def files(folder: Path) -> None:
    assert fetched(fal_client.upload("grüße", "text/plain")) == "grüße".encode()
    url = fal_client.upload(b"abc", "text/plain", "a b.txt", repository="fal")
    assert fetched(url) == b"abc"
    picture = Image.new("RGB", (20, 10), "red")
    is_picture(fetched(fal_client.upload_image(picture, "png")), (20, 10))
    is_picture(fetched(fal_client.upload_image(picture)), (20, 10), "JPEG")
    large = folder / "large.bin"
    large.write_bytes(os.urandom(MULTIPART_THRESHOLD + 1))
    assert fetched(fal_client.upload_file(large)) == large.read_bytes()
    url = fal_client.upload(b"secret", "text/plain", lifecycle=PRIVATE)
    assert httpx.get(url).status_code == 403
    small = folder / "small.txt"
    small.write_text("hi")
    assert (
        fal_client.encode_file(small)
        == fal_client.encode("hi", "text/plain")
        == "data:text/plain;base64,aGk="
    )
    assert fal_client.encode_image(picture, "png").startswith("data:image/png;base64,iVBOR")


def refusals() -> None:
    cases = [
        (lambda: fal_client.run(FLUX, {}), 422),
        (lambda: fal_client.subscribe(FLUX, {"prompt": "a", "num_images": 99}), 422),
        (lambda: fal_client.run("me/nothing", {}), 404),
        (lambda: fal_client.status(FLUX, "00000000-0000-0000-0000-000000000000"), 404),
        (lambda: fal_client.SyncClient(key="wrong:key").run(LLM, {"prompt": "a"}), 401),
    ]
    for call, status in cases:
        try:
            call()
        except fal_client.FalClientHTTPError as error:
            assert error.status_code == status, error
        else:
            raise AssertionError(f"no {status}")


async def asynchronous(folder: Path) -> None:
    fal = fal_client.AsyncClient()
    updates: list[Any] = []
    answer = await fal.subscribe(FLUX, CAT, with_logs=True, interval=0.005, on_queue_update=updates.append)
    is_picture(fetched(answer["images"][0]["url"]), (512, 512))
    assert isinstance(updates[-1], fal_client.Completed)
    handle = await fal.submit(TRAINING, LONG)
    async for event in handle.iter_events(with_logs=True, interval=0.005):
        if isinstance(event, fal_client.InProgress):
            break
    await fal.cancel(TRAINING, handle.request_id)
    await fal.submit(LLM, {"prompt": "a"})
    async with aclosing(fal.stream(LLM, {"prompt": "the sea"})) as stream:
        words = [word async for word in stream]
    assert words[-1]["output"] == (await fal.run(LLM, {"prompt": "the sea"}))["output"]
    async with fal.realtime(LIVE) as connection:
        for size in (64, 128):
            await connection.send({"prompt": "a cat", "seed": 1, "size": size})
            is_picture((await connection.recv())["images"][0]["content"], (size, size))
    large = folder / "large.bin"
    assert fetched(await fal.upload_file(large)) == large.read_bytes()
    assert fetched(await fal.upload(b"abc", "text/plain", repository="fal")) == b"abc"
    is_picture(fetched(await fal.upload_image(Image.new("RGB", (8, 8)), "png")), (8, 8))
    many = await asyncio.gather(
        *(fal.subscribe(LLM, {"prompt": f"item {n}"}, interval=0.02) for n in range(20))
    )
    assert [f"item {n}" in answer["output"] for n, answer in enumerate(many)] == [True] * 20


with tempfile.TemporaryDirectory() as name:
    queue()
    cancelled()
    direct()
    files(Path(name))
    refusals()
    asyncio.run(asynchronous(Path(name)))
sys.stdout.write("done\n")
