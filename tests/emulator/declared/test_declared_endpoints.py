"""Endpoints from a file: the file of the chapter, the command line, and `/_emulator/endpoints`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

import fal_async
from fal_async.emulator import Emulator
from fal_async.emulator.declared.document import read_document, read_file
from fal_async.emulator.serving.own_endpoints import add_declared
from tests.emulator.caller import Caller
from tests.emulator.schemas.documents_of_models import document as a_document

CHAPTER = Path(fal_async.__file__).parent / "emulator" / "ENDPOINTS.md"


def declare(emulator: Emulator, endpoints: dict[str, Any]) -> None:
    for each in read_document({"endpoints": endpoints}, "test", None):
        each.register(emulator)


@pytest.fixture
def chapter(caller: Caller, tmp_path: Path) -> Caller:
    """A caller of the endpoints of the chapter."""
    found = re.search(r"^```toml\n(.*?)^```$", CHAPTER.read_text(encoding="utf-8"), re.M | re.S)
    assert found is not None
    (tmp_path / "models.toml").write_text(found[1], encoding="utf-8")
    add_declared(caller.emulator, tmp_path / "models.toml")
    return caller


async def test_the_model_of_the_chapter_answers_with_values_of_the_input_and_logs(chapter: Caller) -> None:
    submitted = await chapter.submit("me/poet", {"theme": "land"})
    status = await chapter.finished(submitted)
    assert [line["message"] for line in status.data["logs"]] == ["thinking", "writing about land"]
    assert (await chapter.result(submitted)).data == {"poem": "O land!", "seed": 42}
    assert (await chapter.run("me/poet", {"theme": "land", "seed": 7})).data["seed"] == 7
    priced = await chapter.get("/api.fal.ai/v1/models/pricing?endpoint_id=me/poet")
    assert priced.data["prices"][0]["unit_price"] == 0.02


@pytest.mark.parametrize(
    ("input", "status", "answer"),
    [
        ({"theme": "sea"}, 200, {"poem": "Waves."}),
        ({"theme": "land", "style": {"name": "haiku"}, "lines": 3}, 200, {"poem": "O land!", "seed": 42}),
        (
            {"theme": "land", "style": {"name": "haiku"}, "lines": 4},
            400,
            {"detail": "A haiku has three lines", "error_type": "bad_request"},
        ),
    ],
)
async def test_the_first_case_that_fits_the_input_decides(
    chapter: Caller, input: Any, status: int, answer: Any
) -> None:
    answered = await chapter.run("me/poet", input)
    assert (answered.status, answered.data) == (status, answer)


async def test_a_failure_has_entries_with_values_of_the_input(chapter: Caller) -> None:
    failed = await chapter.run("me/poet", {"theme": "a war"})
    assert failed.status == 422
    assert failed.data["detail"][0]["msg"] == "a war is not allowed"


async def test_an_input_that_a_template_needs_is_required(chapter: Caller) -> None:
    failed = await chapter.run("me/poet", {})
    (entry,) = failed.data["detail"]
    assert (failed.status, entry["loc"], entry["type"]) == (422, ["body", "theme"], "missing")


async def test_a_model_with_events_streams_and_its_last_event_is_the_result(chapter: Caller) -> None:
    streamed = await chapter.run("me/words/stream", {"theme": "sea"})
    assert re.findall(rb"data: (.*)", streamed.body) == [b'{"word":"O"}', b'{"word":"sea"}']
    assert (await chapter.run("me/words", {"theme": "sea"})).data == {"word": "sea"}


async def test_a_file_on_disk_is_returned_as_a_produced_file(caller: Caller, tmp_path: Path) -> None:
    (tmp_path / "cat.png").write_bytes(b"a picture")
    answer = {"image": "{file:cat.png}", "text": "see {url:cat.png}", "ids": "{endpoint_id} {request_id}"}
    (tmp_path / "models.JSON").write_text(json.dumps({"endpoints": {"me/cat": {"answer": answer}}}))
    add_declared(caller.emulator, tmp_path / "models.JSON")
    data = (await caller.run("me/cat", {})).data
    assert (await caller.get(data["image"]["url"])).body == b"a picture"
    assert data["image"]["content_type"] == "image/png"
    assert data["text"].startswith("see http")
    assert data["ids"] == f"me/cat {next(iter(caller.emulator.jobs))}"


async def test_endpoints_are_added_listed_and_removed_over_http(caller: Caller) -> None:
    before = (await caller.run("fal-ai/any-llm", {"prompt": "x"})).data
    first = {"fal-ai/any-llm": {"answer": {"output": "{input.prompt}"}}, "me/new": {"price": 1}}
    path = "/_emulator/endpoints"
    added = await caller.call("POST", path, json={"endpoints": first})
    assert (added.status, added.data) == (200, {"endpoints": first})
    await caller.call("POST", path, json={"endpoints": {"fal-ai/any-llm": {"answer": {"output": "second"}}}})
    assert (await caller.run("fal-ai/any-llm", {"prompt": "x"})).data == {"output": "second"}
    await caller.call("DELETE", path, json={"endpoint_id": "me/new"})
    assert (await caller.run("me/new", {})).status == 404
    assert list((await caller.get(f"{path}/declared")).data["endpoints"]) == ["fal-ai/any-llm"]
    await caller.call("DELETE", path)
    assert (await caller.run("fal-ai/any-llm", {"prompt": "x"})).data == before
    assert (await caller.get(f"{path}/declared")).data == {"endpoints": {}}


@pytest.mark.parametrize(
    ("endpoints", "told"),
    [
        ({"me/a": {}, "me/b": {"seconds": -1}}, 'the body: endpoints."me/b".seconds: expected a number >= 0'),
        ({"me/a": {}, "me/b": {"answer": "{file:/etc/passwd}"}}, "only be named in a file of endpoints"),
    ],
)
async def test_a_document_with_a_wrong_endpoint_adds_none(caller: Caller, endpoints: Any, told: str) -> None:
    refused = await caller.call("POST", "/_emulator/endpoints", json={"endpoints": endpoints})
    assert refused.status == 400
    assert told in refused.data["detail"]
    assert (await caller.run("me/a", {})).status == 404


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("[endpoints", "models.toml: "),
        ("[endpoints.me/poet]", '; an id is quoted: [endpoints."me/poet"]'),
        ("[endpoint]", "models.toml: unknown key 'endpoint': did you mean endpoints?"),
        ("", 'models.toml: expected a table "endpoints"'),
        ('[endpoints."me/a"]\nanwser = 1', "unknown key 'anwser': did you mean answer?"),
        ('[endpoints."me/a"]\nanswer = 2020-01-01', 'endpoints."me/a".answer: expected a value of JSON'),
        ('[endpoints."me/a"]\nanswer = nan', "expected a value of JSON"),
        ('[endpoints."me/a"]\nanswer = "{input.}"', "{input.} is not a placeholder: expected {input.name}"),
        (
            '[endpoints."me/a"]\nanswer = ["a }"]',
            'endpoints."me/a".answer[0]: a single } in a text: write }}',
        ),
        ('[endpoints."me/a"]\nanswer = "{file:no.png}"', "there is no file "),
        ('[endpoints."me/a"]\nprice = "dear"', "price='dear': expected US dollars >= 0"),
        ('[endpoints."me/a"]\nrunners = 0', "expected an integer >= 1, but it is 0"),
        ('[endpoints."me/a"]\nstatus = 200', "expected an integer from 400 to 599, but it is 200"),
        ('[endpoints."me/a"]\ndetail = "x"', "it is for failures, which have a status"),
        ('[endpoints."me/a"]\nstatus = 500\nanswer = 1', "a failure, which has a status, has no answer"),
        ('[endpoints."me/a"]\nlogs = [1]', 'endpoints."me/a".logs[0]: expected a str, but it is 1'),
        ('[endpoints."me/a"]\npublic = 1', "expected true or false, but it is 1"),
        ('[endpoints."me/a"]\nevents = 1', "expected a list, but it is 1"),
        ('[endpoints."not an id"]', "'not an id' is not an endpoint id"),
        (
            '[[endpoints."me/a".cases]]\nwhen = { a = { abov = 1 } }',
            "unknown key 'abov': did you mean above?",
        ),
        ('[[endpoints."me/a".cases]]\nwhen = { a = { matches = "(" } }', "not a regular expression"),
        (
            '[[endpoints."me/a".cases]]\nwhen = { a = { missing = 1 } }',
            "cases[0].when.a.missing: expected true",
        ),
    ],
)
def test_a_wrong_file_is_reported_with_its_place_and_the_way_out(
    tmp_path: Path, content: str, told: str
) -> None:
    path = tmp_path / "models.toml"
    path.write_text(content)
    with pytest.raises(ValueError, match=r".*") as caught:
        read_file(path)
    assert told in str(caught.value)
    assert str(caught.value).startswith(str(path))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"--endpoints .*models\.toml: No such file"):
        add_declared(Emulator(), tmp_path / "models.toml")


# Endpoints with the OpenAPI document of a model.


async def test_an_endpoint_with_a_schema_checks_inputs_and_answers_with_a_sample(
    caller: Caller, tmp_path: Path
) -> None:
    (tmp_path / "flux.json").write_text(json.dumps(a_document()))
    (tmp_path / "models.toml").write_text(
        """
[endpoints."me/painter"]
openapi = "flux.json"
[[endpoints."me/painter".cases]]
when = { prompt = "forbidden" }
status = 422
detail = "no"
[endpoints."me/other"]
openapi = "flux.json"
answer = "{input.prompt}"
"""
    )
    add_declared(caller.emulator, tmp_path / "models.toml")
    sample = await caller.run("me/painter", {"prompt": "a cat"})
    assert (await caller.get(sample.data["images"][0]["url"])).status == 200
    assert (await caller.run("me/painter", {"prompt": "forbidden"})).data["detail"] == "no"
    assert (await caller.run("me/other", {"prompt": "a cat"})).body == b"a cat"
    for endpoint_id in ("me/painter", "me/other"):
        assert (await caller.run(endpoint_id, {"prompt": 1})).status == 422


def test_a_schema_that_cannot_be_read_is_reported_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "models.toml"
    (tmp_path / "wrong.json").write_text("{}")
    for name, told in (("no.json", "No such file"), ("wrong.json", "it has neither the `paths`")):
        path.write_text(f'[endpoints."me/a"]\nopenapi = "{name}"')
        with pytest.raises(ValueError, match=re.escape(told)):
            read_file(path)


async def test_a_declared_endpoint_may_have_states_by_number_of_polls(caller: Caller) -> None:
    table = {"polls": {"queued": 2}, "seconds": 600, "logs": ["working"], "answer": {"ok": True}}
    posted = await caller.call("POST", "/_emulator/endpoints", json={"endpoints": {"me/polled": table}})
    assert posted.status == 200
    submitted = await caller.submit("me/polled")
    states = [(await caller.status(submitted)).data["status"] for _ in range(4)]
    assert states == ["IN_QUEUE", "IN_QUEUE", "IN_PROGRESS", "COMPLETED"]
    assert (await caller.result(submitted)).data == {"ok": True}


@pytest.mark.parametrize(
    ("polls", "message"),
    [
        ({"queue": 2}, r"polls: unknown key 'queue': did you mean queued\?"),
        ({"queued": -1}, r"polls\.queued: expected an integer >= 0, but it is -1"),
        ([2, 1], r"polls: expected a table, but it is \[2, 1\]"),
    ],
)
def test_polls_of_a_document_that_are_wrong_are_named_with_their_place(polls: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_document({"endpoints": {"me/polled": {"polls": polls}}}, "test", None)
