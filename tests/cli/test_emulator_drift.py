"""`fal-async emulator drift`: its table, its JSON document, and its exit status."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fal_async.cli import main

CASSETTE = {
    "format": 1,
    "recorded_at": "2026-12-01T12:00:00Z",
    "via": "run",
    "endpoint_id": "fal-ai/any-llm",
    "input": {"prompt": "why?"},
    "answer": {
        "after": 0.5,
        "status": 200,
        "headers": {
            "content-type": "application/json",
            "x-fal-billable-units": "1",
            "x-fal-served-from": "r",
        },
        "body": {"json": {"output": "because", "reasoning": None, "error": None}},
    },
}


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    (tmp_path / "llm").mkdir()
    (tmp_path / "llm" / "a.json").write_text(json.dumps(CASSETTE))
    return tmp_path


def test_recording_like_the_emulator_exits_with_0(
    recordings: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["emulator", "drift", str(recordings)]) == 0
    assert capsys.readouterr() == ("", "no differences in any of 1 recorded calls\n")


def test_differences_are_a_table_or_json_and_exit_with_1(
    recordings: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = json.dumps(CASSETTE).replace('"output"', '"text"').replace("any-llm", "unknown")
    (recordings / "llm" / "b.json").write_text(changed)
    (recordings / "llm" / "a.json").write_text(json.dumps(CASSETTE).replace('"because"', "[]"))
    assert main(["emulator", "drift", str(recordings)]) == 1
    shown = capsys.readouterr()
    assert shown.out.splitlines() == [
        "FILE        PLACE IN IT              RECORDED  EMULATOR",
        "llm/a.json  answer.body.json.output  array     string",
    ]
    assert shown.err.splitlines() == [
        "1 difference in 1 of 2 recorded calls",
        "endpoints that the emulator does not have, so that results were not compared: fal-ai/unknown",
    ]
    assert main(["emulator", "drift", str(recordings), "--json"]) == 1
    found = {
        "file": "llm/a.json",
        "path": "answer.body.json.output",
        "recorded": "array",
        "emulator": "string",
    }
    assert json.loads(capsys.readouterr().out) == {
        "calls": 2,
        "unknown_endpoints": ["fal-ai/unknown"],
        "differences": [found],
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, "expected a folder with recordings, but it has none"),
        ("{", "a.json: the file is not JSON"),
        ("{}", "a.json: the field 'format' is missing"),
    ],
)
def test_folder_that_can_not_be_used_exits_with_2(
    text: str | None, expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "llm").mkdir()
    if text is not None:
        (tmp_path / "llm" / "a.json").write_text(text)
    assert main(["emulator", "drift", str(tmp_path)]) == 2
    assert expected in capsys.readouterr().err


def test_endpoints_of_the_user_are_compared_too(recordings: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cassette = json.dumps(CASSETTE).replace("fal-ai/any-llm", "me/llm").replace('"output"', '"text"')
    (recordings / "llm" / "b.json").write_text(cassette)
    declared = recordings / "models.json"
    declared.write_text(json.dumps({"endpoints": {"me/llm": {"answer": {"output": "so"}}}}))
    assert main(["emulator", "drift", str(recordings), "--endpoints", str(declared)]) == 1
    out = capsys.readouterr().out
    assert "answer.body.json.output" in out
    assert "answer.body.json.text" in out
