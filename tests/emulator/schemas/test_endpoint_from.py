"""`emulator.endpoint_from`: a model that is made of its OpenAPI document (protocol 11.6)."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import wave
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.emulator.caller import Caller
from tests.emulator.schemas.documents_of_models import OUTPUT, document

PATH = "/fal.ai/api/openapi/queue/openapi.json"


async def picture(caller: Caller, file: dict[str, Any]) -> Image.Image:
    fetched = await caller.get(file["url"], headers={})
    assert (fetched.status, len(fetched.body)) == (200, file["file_size"])
    return Image.open(io.BytesIO(fetched.body))


async def test_a_document_alone_becomes_a_model_that_draws_pictures(caller: Caller) -> None:
    assert caller.emulator.endpoint_from(document()) == "acme/painter"
    submitted = await caller.submit("acme/painter", {"prompt": "a cat", "num_images": 2, "seed": 7})
    await caller.finished(submitted)
    result = (await caller.result(submitted)).data
    assert (result["prompt"], result["seed"], result["has_nsfw_concepts"]) == ("a cat", 7, [False, False])
    for file in result["images"]:
        assert file["content_type"] == "image/png"
        assert "file_data" not in file
        drawn = await picture(caller, file)
        assert drawn.size == (file["width"], file["height"]) == (512, 512)


async def test_the_same_input_gives_the_same_output_and_another_seed_another_picture(caller: Caller) -> None:
    caller.emulator.endpoint_from(document())
    first, again, other = [
        (await caller.run("acme/painter", {"prompt": "a cat", **more})).data for more in ({}, {}, {"seed": 8})
    ]
    pictures = [(await picture(caller, one["images"][0])).tobytes() for one in (first, again, other)]
    assert first["seed"] == again["seed"]
    assert pictures[0] == pictures[1] != pictures[2]


@pytest.mark.parametrize(
    ("wanted", "size"),
    [
        ({"image_size": "portrait_4_3"}, (768, 1024)),
        ({"image_size": {"width": 64, "height": 32}}, (64, 32)),
    ],
    ids=str,
)
async def test_pictures_have_the_size_that_the_input_asks_for(
    caller: Caller, wanted: dict[str, Any], size: tuple[int, int]
) -> None:
    caller.emulator.endpoint_from(document())
    result = await caller.run("acme/painter", {"prompt": "x", **wanted})
    assert (await picture(caller, result.data["images"][0])).size == size


async def test_sync_mode_puts_the_pictures_into_the_answer(caller: Caller) -> None:
    caller.emulator.endpoint_from(document())
    result = await caller.run("acme/painter", {"prompt": "x", "sync_mode": True})
    assert result.data["images"][0]["url"].startswith("data:image/png;base64,")


FILE = {"type": "object", "title": "File", "required": ["url"], "properties": {"url": {"type": "string"}}}


async def test_sounds_are_real_and_files_of_other_kinds_exist(caller: Caller) -> None:
    members = {
        "audio": {"allOf": [{"$ref": "#/components/schemas/File"}]},
        "mesh": {"$ref": "#/components/schemas/File"},
        "speech_url": {"type": "string"},
    }
    output = {"type": "object", "properties": members}
    caller.emulator.endpoint_from(document("acme/voice", output=output, File=FILE))
    result = (await caller.run("acme/voice", {"prompt": "x"})).data
    for url in (result["audio"]["url"], result["speech_url"]):
        with wave.open(io.BytesIO((await caller.get(url, headers={})).body)) as sound:
            assert sound.getnframes() == 16_000
    assert (await caller.get(result["mesh"]["url"], headers={})).status == 200


async def test_a_video_is_a_real_one_in_the_form_that_the_input_asks_for(caller: Caller) -> None:
    members = {"width": {"type": "integer"}, "fps": {"type": "number"}, "url": {"type": "string"}}
    video = {"type": "object", "title": "VideoFile", "required": ["url", "fps"], "properties": members}
    output = {"type": "object", "properties": {"result": {"$ref": "#/components/schemas/VideoFile"}}}
    caller.emulator.endpoint_from(document("acme/film", input={}, output=output, VideoFile=video))
    film = (await caller.run("acme/film", {"aspect_ratio": "9:16"})).data["result"]
    assert (film["width"], film["fps"]) == (180, 12)
    assert (await caller.get(film["url"], headers={})).body[4:8] == b"ftyp"


async def test_the_document_is_served_as_it_is_and_the_platform_shows_it(caller: Caller) -> None:
    given = document()
    caller.emulator.endpoint_from(given)
    served = await caller.get(PATH, params={"endpoint_id": "acme/painter"}, headers={})
    query = {"endpoint_id": "acme/painter", "expand": "openapi-3.0"}
    (listed,) = (await caller.get("/api.fal.ai/v1/models", params=query)).data["models"]
    assert served.data == listed["openapi"] == given
    assert listed["metadata"]["category"] == "text-to-image"


async def test_under_another_id_the_document_has_the_paths_of_that_id(caller: Caller, tmp_path: Path) -> None:
    file = tmp_path / "painter.json"
    file.write_text(json.dumps(document()))
    assert caller.emulator.endpoint_from(file, endpoint_id="me/copy/fast") == "me/copy/fast"
    served = (await caller.get(PATH, params={"endpoint_id": "me/copy/fast"}, headers={})).data
    assert all(path.startswith("/me/copy/fast") for path in served["paths"])
    assert served["info"]["x-fal-metadata"]["endpointId"] == "me/copy/fast"
    assert (await caller.run("me/copy/fast", {"prompt": "x"})).status == 200


async def test_two_schemas_as_the_command_line_prints_them_are_enough(caller: Caller) -> None:
    input = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}
    members = {"n": {"type": "integer"}, "error": {"type": "string"}}
    output = {"type": "object", "properties": members, "required": ["n"]}
    caller.emulator.endpoint_from({"endpoint_id": "me/two", "input": input, "output": output})
    assert (await caller.run("me/two", {"n": 5})).data == {"n": 5}
    assert (await caller.run("me/two", {})).status == 422


async def test_a_function_of_ones_own_has_the_schemas_of_a_document(caller: Caller) -> None:
    @caller.emulator.endpoint("acme/painter", openapi=document())
    async def painter(input: Any) -> Any:
        return {"seen": input}

    assert (await caller.run("acme/painter", {"prompt": "x"})).data == {"seen": {"prompt": "x"}}
    assert (await caller.run("acme/painter", {})).status == 422


@pytest.mark.parametrize(
    ("output", "result"), [({}, {}), ({"type": "string", "example": "a"}, "a"), ({"const": 5}, 5)]
)
async def test_the_output_is_json_also_if_it_is_not_an_object(
    caller: Caller, output: dict[str, Any], result: Any
) -> None:
    caller.emulator.endpoint_from(document(output=output))
    answer = await caller.run("acme/painter", {"prompt": "x"})
    assert (answer.headers["Content-Type"], answer.data) == ("application/json", result)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "neither the `paths` of OpenAPI"),
        ({"paths": {}}, "no path has a POST"),
        ({"paths": {"/a/b": {"post": {}}}}, "no path has a POST"),
        ({"endpoint_id": 5, "input": {}}, "neither the `paths`"),
        (document(output={"type": "object", "required": ["a"], "not": {}}), "no output can be made"),
        (document(output={"type": "string", "minLength": 10**9}), "a text of 1000000000 characters"),
        (document("no-id"), "'no-id' is not an endpoint id"),
    ],
    ids=lambda value: str(value)[:30],
)
async def test_an_unusable_document_is_refused_with_the_reason(
    caller: Caller, given: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        caller.emulator.endpoint_from(given)


@pytest.mark.parametrize("text", ["", "[1]", "{", "\x00", "[" * 100_000], ids=lambda text: repr(text)[:9])
async def test_a_file_that_is_not_a_document_is_refused_with_its_name(
    caller: Caller, tmp_path: Path, text: str
) -> None:
    (tmp_path / "flux.json").write_text(text)
    with pytest.raises(ValueError, match=r"flux\.json: it is not"):
        caller.emulator.endpoint_from(tmp_path / "flux.json")


async def test_bad_arguments_are_refused_before_anything_is_served(caller: Caller) -> None:
    for arguments in ({"seconds": -1.0}, {"runners": 0}, {"price": -1}):
        with pytest.raises(ValueError, match=r"-1|0"):
            caller.emulator.endpoint_from(document(), **arguments)
    with pytest.raises(ValueError, match="without input_schema="):
        caller.emulator.endpoint("acme/painter", openapi=document(), output_schema=OUTPUT)
    assert (await caller.run("acme/painter", {"prompt": "x"})).status == 404


def test_a_schema_without_jsonschema_is_refused_with_the_command_that_installs_it() -> None:
    program = """
import sys
sys.modules["jsonschema"] = None
import importlib.util
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *more: None if name == "jsonschema" else find(name, *more)
from fal_async.emulator import Emulator
emulator = Emulator()
try:
    emulator.endpoint("a/b", input_schema={})(lambda input: None)
except TypeError:
    pass
async def model(input): ...
try:
    emulator.endpoint("a/b", input_schema={})(model)
except ModuleNotFoundError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "the schema of a/b needs jsonschema: pip install 'fal-async[emulator]'\n"
