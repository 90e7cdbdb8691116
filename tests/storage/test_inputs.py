"""Files in inputs, and access to stored files."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import pydantic
import pytest
from starlette.datastructures import UploadFile

from fal_async import (
    ApiError,
    ConfigurationError,
    Endpoint,
    File,
    NotFoundError,
    Session,
    StorageSettings,
    UploadError,
)
from fal_async.emulator import Emulator, Fault
from tests.storage.pictures import PNG, some_bytes, some_file, stored


@pytest.fixture(autouse=True)
def echo(emulator: Emulator) -> None:
    @emulator.endpoint("me/echo")
    async def echo(input: Any) -> Any:
        return input


@attrs.frozen
class Shape:
    image: Path
    strength: float = 0.5


@dataclass
class Input:
    prompt: str
    image: Any


async def test_a_non_contiguous_memoryview_is_uploaded(fal: Session, emulator: Emulator) -> None:
    sent = await fal.storage.transform_input({"file": File(memoryview(b"a-b-c-")[::2])})
    assert stored(emulator, sent["file"]) == b"abc"


async def test_each_distinct_file_in_an_input_is_uploaded_once(
    fal: Session, emulator: Emulator, tmp_path: Path
) -> None:
    cat, dog = some_file(tmp_path, 100, "cat.png"), some_file(tmp_path, 100, "dog.png", seed=2)
    (tmp_path / "link.png").symlink_to(cat)
    picture = io.BytesIO(some_bytes(50))
    given = {
        "image": cat,
        "masks": [cat, {"deep": (tmp_path / "." / "cat.png", tmp_path / "link.png")}],
        "shape": Shape(image=cat),
        "other": dog,
        "objects": [picture, picture],
        "wrapped": [File(cat), File(str(cat))],
        "bytes": [File(b"x"), File(b"x"), File(b"y"), File(b"x", file_name="named.png")],
        "text": str(cat),
        "seed": 5,
    }
    before = repr(given)
    made = (await fal.run("me/echo", given)).data
    assert emulator.count("upload") == 6
    urls = [made["image"], made["masks"][0], *made["masks"][1]["deep"], *made["wrapped"]]
    urls.append(made["shape"]["image"])
    assert len(set(urls)) == 1
    assert stored(emulator, urls[0]) == cat.read_bytes()
    assert stored(emulator, made["other"]) == dog.read_bytes()
    assert made["objects"][0] == made["objects"][1]
    assert len(set(made["bytes"])) == 3
    assert (made["text"], made["seed"], made["shape"]["strength"]) == (str(cat), 5, 0.5)
    assert repr(given) == before
    assert given["image"] is cat


@pytest.mark.parametrize("way", ["run", "subscribe", "submit"])
async def test_files_in_an_input_are_uploaded_by_run_subscribe_and_submit(
    fal: Session, emulator: Emulator, tmp_path: Path, way: str
) -> None:
    given = Input(prompt="p", image=some_file(tmp_path, 100, "cat.png"))
    if way == "submit":
        data = (await (await fal.queue.submit("me/echo", given)).wait()).data
    else:
        data = (await getattr(fal, way)("me/echo", given)).data
    assert data["prompt"] == "p"
    assert stored(emulator, data["image"]) == given.image.read_bytes()
    assert isinstance(given.image, Path)


async def test_files_in_the_input_of_a_stream_are_uploaded(
    fal: Session, emulator: Emulator, tmp_path: Path
) -> None:
    @emulator.endpoint("me/streamer")
    async def streamer(input: Any) -> AsyncIterator[Any]:
        yield input

    path = some_file(tmp_path, 100, "cat.png")
    async for data in fal.stream("me/streamer", {"image": path, "small": File(b"x")}, inline_below=10):
        assert stored(emulator, data["image"]) == path.read_bytes()
        assert data["small"].startswith("data:")
    assert emulator.count("upload") == 1


async def test_files_below_inline_below_become_data_uris(
    fal: Session, emulator: Emulator, tmp_path: Path
) -> None:
    from PIL import Image

    small, large = some_file(tmp_path, 99, "small.jpg"), some_file(tmp_path, 100, "large.jpg")
    given = {"small": small, "large": large, "picture": Image.new("RGB", (2, 2)), "file": File(PNG)}
    for call in (fal.run, fal.subscribe):
        data = (await call("me/echo", given, inline_below=100)).data
        assert data["small"].startswith("data:image/jpeg;base64,")
        assert data["picture"].startswith("data:image/png;base64,")
        assert data["file"].startswith("data:image/png;base64,")
        assert stored(emulator, data["large"]) == large.read_bytes()
    handle = await fal.queue.submit("me/echo", {"a": small}, inline_below=100)
    assert (await handle.wait()).data["a"].startswith("data:")
    assert emulator.count("upload") == 2


async def test_transform_input_uploads_files_and_returns_other_inputs_unchanged(
    fal: Session, emulator: Emulator, tmp_path: Path
) -> None:
    plain = {"a": [1, "x"]}
    assert await fal.storage.transform_input(plain) is plain
    assert emulator.requests == []
    made = await fal.storage.transform_input(
        [some_file(tmp_path, 10)], lifecycle=StorageSettings(expires_in=60)
    )
    assert len(stored(emulator, made[0])) == 10
    assert next(iter(emulator.uploads.values())).lifecycle.expires_in == 60


async def test_files_of_an_input_are_uploaded_concurrently_until_one_fails(
    fal: Session, emulator: Emulator, tmp_path: Path
) -> None:
    files = [some_file(tmp_path, 10, f"{n}.bin", seed=n) for n in range(20)]
    stall = Fault.stall(0.05, on="upload", times=None)
    emulator.faults.add(stall)
    await fal.storage.transform_input(files)
    assert 2 <= emulator.connections_opened <= 8
    given = {"files": [*files, tmp_path / "missing.png"], "again": tmp_path / "missing.png"}
    with pytest.raises(UploadError, match=r"^input\.files\[20\]: .*missing"):
        await fal.run("me/echo", given)
    assert emulator.count("run") == 0


async def test_an_upload_that_fal_refuses_is_reported_with_its_place_in_the_input(
    fal: Session, emulator: Emulator, tmp_path: Path
) -> None:
    emulator.faults.add(
        Fault.answer(413, on="upload", times=None), Fault.answer(413, on="initiate", times=None)
    )
    shape = Shape(image=some_file(tmp_path, 10, "a.png"))
    with pytest.raises(UploadError, match=r"^input\.shapes\[1\]\.image: ") as caught:
        await fal.subscribe("me/echo", {"shapes": [{"x": 1}, shape]})
    assert caught.value.causes
    assert emulator.count("submit") == 0


@pytest.mark.parametrize(
    ("value", "error", "word"),
    [
        (b"bytes", ConfigurationError, r"input\.image is bytes: upload them with File"),
        (io.StringIO("text"), ConfigurationError, "binary mode"),
        (Path("/missing/x.png"), UploadError, "No such file"),
        (Path("/"), UploadError, "is a directory"),
    ],
)
async def test_an_input_that_cannot_be_sent_is_refused_before_anything_is_sent(
    fal: Session, emulator: Emulator, value: Any, error: type[Exception], word: str
) -> None:
    with pytest.raises(error, match=word):
        await fal.subscribe("me/echo", {"image": value})
    with pytest.raises(ConfigurationError, match="inline_below"):
        await fal.run("me/echo", {}, inline_below=-1)
    assert emulator.requests == []


async def test_the_timeout_of_subscribe_includes_the_uploads(
    fal: Session, emulator: Emulator, tmp_path: Path
) -> None:
    emulator.faults.add(Fault.stall(30, on="upload"))
    with pytest.raises(TimeoutError, match="was not submitted"):
        await fal.subscribe("me/echo", {"image": some_file(tmp_path, 10)}, timeout=0.2)
    assert emulator.count("submit") == 0


async def test_a_cancelled_call_stops_uploading_and_submits_nothing(
    fal: Session, emulator: Emulator, tmp_path: Path
) -> None:
    emulator.faults.add(Fault.stall(30, on="upload", times=None))
    task = asyncio.create_task(fal.subscribe("me/echo", {"image": some_file(tmp_path, 10)}))
    await emulator.wait_for("upload")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (emulator.count("upload"), emulator.count("submit")) == (1, 0)


# Access.


async def test_files_that_a_model_produces_get_the_lifecycle_of_the_call(
    fal: Session, emulator: Emulator
) -> None:
    @emulator.endpoint("me/file")
    async def produce(_: Any, job: Any) -> Any:
        return {"file": await job.file(b"data", "text/plain", "a.txt")}

    result = await fal.run("me/file", storage=StorageSettings(initial_acl="forbid"))
    url = result.files()[0].url
    assert (await fal.storage.get_acl(url))["default"] == "forbid"
    with pytest.raises(ConfigurationError, match="expires_in"):
        await fal.run("me/file", storage=StorageSettings(expires_in="2 weeks"))


async def test_access_rules_and_signed_urls_decide_who_may_download(
    fal: Session, emulator: Emulator, tmp_path: Path
) -> None:
    url = await fal.storage.upload(b"data")
    rules = {"default": "hide", "rules": [{"user": "bob", "decision": "allow"}]}
    assert await fal.storage.set_acl(url, rules) == rules
    assert await fal.storage.get_acl(url) == rules
    async with Session("no:body", hosts=emulator.hosts) as stranger:
        with pytest.raises(ApiError):
            await stranger.storage.download(url, tmp_path / "x.bin")
        signed = await fal.storage.sign(url, expires_in=60)
        assert (await stranger.storage.download(signed, tmp_path / "x.bin")).read_bytes() == b"data"
    assert (await fal.storage.set_acl(url, "allow"))["default"] == "allow"
    with pytest.raises(NotFoundError):
        await fal.storage.get_acl(url + "x")
    with pytest.raises(ConfigurationError, match="604800"):
        await fal.storage.sign(url, expires_in=604_801)


async def test_wrong_arguments_of_access_methods_are_refused_before_anything_is_sent(
    fal: Session, emulator: Emulator
) -> None:
    url: Any
    for url in (None, Path("x"), "files/x", b"https://x"):
        with pytest.raises(ConfigurationError, match="url="):
            await fal.storage.sign(url)
    for acl in (None, "deny", {"defualt": "allow"}):
        with pytest.raises(ConfigurationError, match="acl"):
            await fal.storage.set_acl("https://v3b.fal.media/x", acl)  # type: ignore[arg-type]
    for settings in (None, {"expires_in": "1h"}):
        with pytest.raises(ConfigurationError, match="StorageSettings"):
            await fal.storage.set_defaults(settings)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="lifecycle"):
        await fal.storage.transform_input({}, lifecycle="1h")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="inline_below"):
        await fal.storage.transform_input({}, inline_below="5")  # type: ignore[arg-type]
    assert emulator.requests == []


async def test_account_defaults_apply_to_new_uploads(fal: Session, emulator: Emulator) -> None:
    changed = await fal.storage.set_defaults(StorageSettings(expires_in="7d", initial_acl="forbid"))
    assert changed == await fal.storage.get_defaults()
    assert changed["expiration_duration_seconds"] == 604_800
    url = await fal.storage.upload(b"data")
    assert (await fal.storage.get_acl(url))["default"] == "forbid"
    assert (await fal.storage.set_defaults(StorageSettings(expires_in="never")))[
        "expiration_duration_seconds"
    ] is None
    del emulator


@attrs.frozen
class Unfit:
    image: Path
    more: object


@pytest.mark.parametrize("call", ["run", "subscribe", "submit", "stream"])
async def test_an_input_that_is_not_json_is_refused_before_a_file_is_uploaded(
    fal: Session, emulator: Emulator, tmp_path: Path, call: str
) -> None:
    path = some_file(tmp_path, 10)
    for value in ({"image": path, "more": {1, 2}}, Unfit(path, {1, 2})):
        with pytest.raises(ConfigurationError, match=r"input\.more is a set"):
            await _called(fal, call, value)
    assert emulator.requests == []


async def _called(fal: Session, call: str, value: Any) -> None:
    if call == "submit":
        await fal.queue.submit("me/echo", value)
    elif call == "stream":
        await fal.stream("me/echo", value).last()
    else:
        await getattr(fal, call)("me/echo", value)


async def test_file_objects_in_a_pydantic_model_are_uploaded(fal: Session, emulator: Emulator) -> None:
    class Inner(pydantic.BaseModel):
        file: Any = pydantic.Field(serialization_alias="aFile")

    class Ask(pydantic.BaseModel):
        model_config = pydantic.ConfigDict(arbitrary_types_allowed=True, extra="allow")
        inner: Inner
        several: list[Any]
        named: dict[str, io.BytesIO]

    def film(data: bytes) -> io.BytesIO:
        return io.BytesIO(data)

    ask = Ask(
        inner=Inner(file=film(b"1")), several=[film(b"2"), 5], named={"a": film(b"3")}, other=film(b"4")
    )  # type: ignore[call-arg]
    data = (await fal.run("me/echo", ask)).data
    urls = data["inner"]["aFile"], data["several"][0], data["named"]["a"], data["other"]
    assert [stored(emulator, url) for url in urls] == [b"1", b"2", b"3", b"4"]
    assert data["several"][1] == 5


async def test_paths_in_a_pydantic_model_are_uploaded(
    fal: Session, emulator: Emulator, tmp_path: Path
) -> None:
    class Ask(pydantic.BaseModel):
        prompt: str
        images: list[Path] = pydantic.Field(alias="imageUrls")

    paths = [some_file(tmp_path, 10, name=f"{n}.png", seed=n) for n in range(2)]
    urls = (await fal.run("me/echo", Ask(prompt="x", imageUrls=paths))).data["imageUrls"]
    assert [stored(emulator, url) for url in urls] == [path.read_bytes() for path in paths]


class Reference(pydantic.BaseModel, arbitrary_types_allowed=True):
    image: File | pydantic.HttpUrl
    weight: Decimal = Decimal("0.5")


class EveryKindOfFile(pydantic.BaseModel, arbitrary_types_allowed=True):
    path: Path
    form: UploadFile
    references: list[Reference]
    by_name: dict[str, Reference] = {}
    missing: Path | None = None


async def test_every_kind_of_file_in_nested_pydantic_models_is_uploaded(
    fal: Session, emulator: Emulator, tmp_path: Path
) -> None:
    url = "https://example.com/a.png"
    ask = EveryKindOfFile(
        path=some_file(tmp_path, 10, name="a.png"),
        form=UploadFile(io.BytesIO(b"form"), filename="form.txt"),
        references=[Reference(image=File(b"one")), Reference(image=pydantic.HttpUrl(url))],
        by_name={"two": Reference(image=File(b"two", content_type="image/png"))},
    )
    data = (await fal.subscribe(Endpoint("me/echo", input=EveryKindOfFile), ask)).data
    assert data.keys() == {"path", "form", "references", "by_name"}
    first, second = data["references"]
    urls = data["path"], data["form"], first["image"], data["by_name"]["two"]["image"]
    assert [stored(emulator, url) for url in urls] == [ask.path.read_bytes(), b"form", b"one", b"two"]
    assert second == {"image": url, "weight": 0.5}
    assert isinstance(ask.path, Path)  # the caller's model is not changed


async def test_bytes_in_a_field_of_a_pydantic_model_are_refused_with_advice(
    fal: Session, emulator: Emulator
) -> None:
    class Ask(pydantic.BaseModel):
        images: list[bytes]

    with pytest.raises(ConfigurationError, match=r"input\.images\[0\] is bytes: upload them with File"):
        await fal.subscribe("me/echo", Ask(images=[b"x"]))
    assert emulator.count() == 0
