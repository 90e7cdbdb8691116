from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import attrs
import pytest

from fal_async.emulator import Emulator, Recordings
from fal_async.emulator.cassettes.canonical_input import InputFile
from fal_async.emulator.cassettes.cassette import RecordedFile
from fal_async.emulator.cassettes.cassette_folder import CassetteFolder
from fal_async.emulator.cassettes.document_fields import CassetteError
from fal_async.emulator.cassettes.input_differences import differences
from tests.emulator.cassettes.samples import PICTURE, cassette

_SHA = "ab" * 32


def test_written_cassettes_are_found_again_in_the_order_of_their_recording(tmp_path: Path) -> None:
    folder = CassetteFolder(tmp_path)
    names = [folder.add(cassette({"prompt": "a cat"}, {"n": n})).name for n in range(11)]
    assert len(set(names)) == 11

    again = CassetteFolder(tmp_path)
    found = again.find(cassette({"prompt": "a cat"}).key)
    assert [stored.cassette.answer and stored.cassette.answer.body.value for stored in found] == [
        {"n": n} for n in range(11)
    ]
    assert [stored.name for stored in found] == names
    assert again.find(cassette({"prompt": "a dog"}).key) == []


@pytest.mark.parametrize("input", [{"prompt": "half \ud83d"}, {"prompt": "\0 \u2028 👩"}, [1], "text", None])
def test_any_input_that_json_can_carry_is_written_and_found_again(tmp_path: Path, input: Any) -> None:
    stored = CassetteFolder(tmp_path).add(cassette(input, endpoint_id="../..", path="../.."))
    assert [found.cassette for found in CassetteFolder(tmp_path)] == [stored.cassette]


def test_two_recorders_in_one_folder_do_not_overwrite_each_other(tmp_path: Path) -> None:
    one, other = CassetteFolder(tmp_path), CassetteFolder(tmp_path)
    names = {folder.add(cassette({})).name for folder in (one, other, one)}
    assert len(names) == len(CassetteFolder(tmp_path)) == 3


def test_nothing_that_is_written_contains_a_key_or_a_signature(tmp_path: Path) -> None:
    folder = CassetteFolder(tmp_path, keys=["my-id:my-long-secret"])
    signed = "https://bucket/a.png?X-Amz-Signature=0123&v=1"
    name = folder.add_file(b"key my-id:my-long-secret", "text/plain")
    files = {PICTURE + "?token=abc": RecordedFile(file=name, content_type="text/plain", size=1)}
    folder.add(cassette({"image_url": signed, "note": "my-long-secret"}, {"url": signed}, files=files))

    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    for secret in (b"my-long-secret", b"0123", b"token=abc"):
        assert secret not in written
    asked = CassetteFolder(tmp_path).input({"image_url": signed.replace("0123", "4567")}, lambda _: None)
    assert asked == {"image_url": "https://bucket/a.png?X-Amz-Signature=REDACTED&v=1"}


def test_the_nearest_recording_is_the_one_with_the_fewest_differences(tmp_path: Path) -> None:
    folder = CassetteFolder(tmp_path)
    folder.add(cassette({"prompt": "a dog", "seed": 1, "size": "big"}))
    wanted = folder.add(cassette({"prompt": "a cat", "seed": 7}))
    asked = cassette({"prompt": "a cat", "seed": 8}, via="run")
    nearest = folder.nearest(asked.key, "fal-ai/flux/dev", asked.input)
    assert nearest is not None
    assert nearest.stored.name == wanted.name
    assert nearest.differences == ("via: queue recorded, run asked", "input.seed: 7 recorded, 8 asked")
    assert folder.nearest(asked.key, "fal-ai/other", asked.input) is None


@pytest.mark.parametrize(
    ("recorded", "asked", "lines"),
    [
        ({"a": 1}, {"a": 1.0}, []),
        ({"a": True}, {"a": 1}, ["input.a: True recorded, 1 asked"]),
        ({"a": [1, 2]}, {"a": [1]}, ["input.a[1]: 2 recorded, nothing asked"]),
        ({}, {"b": None}, ["input.b: nothing recorded, None asked"]),
        ({"a": {"b": "x"}}, {"a": "y"}, ["input.a: {'b': 'x'} recorded, 'y' asked"]),
        (
            {"a": {"$file": _SHA, "content_type": "image/png"}},
            {"a": "https://x"},
            ["input.a: the file abababababab (image/png) recorded, 'https://x' asked"],
        ),
    ],
)
def test_differences_name_the_path_and_both_values(recorded: Any, asked: Any, lines: list[str]) -> None:
    assert list(differences(recorded, asked)) == lines


def _edited(tmp_path: Path, text: str) -> None:
    folder = tmp_path / "fal-ai__flux__dev"
    folder.mkdir()
    (folder / "edited.json").write_text(text)


def test_a_cassette_that_is_not_json_is_reported_when_the_folder_is_opened(tmp_path: Path) -> None:
    _edited(tmp_path, "{")
    with pytest.raises(CassetteError, match=r"edited\.json: the file is not JSON"):
        CassetteFolder(tmp_path)


@pytest.mark.parametrize("name", [f"{_SHA}.png", "../secret.txt"])
def test_a_missing_or_foreign_file_of_a_cassette_is_reported_when_the_folder_is_opened(
    tmp_path: Path, name: str
) -> None:
    files = {PICTURE: RecordedFile(file=name, content_type="image/png", size=1)}
    _edited(tmp_path, json.dumps(cassette({}, files=files).to_document()))
    with pytest.raises(CassetteError, match=r"edited\.json: .*file"):
        CassetteFolder(tmp_path)


def test_a_cassette_written_by_hand_needs_no_digest(tmp_path: Path) -> None:
    document = cassette({"image_url": {"$file": _SHA, "content_type": "image/png"}}).to_document()
    del document["digest"]
    _edited(tmp_path, json.dumps(document))
    folder = CassetteFolder(tmp_path)
    input = folder.input({"image_url": PICTURE}, lambda _: InputFile(_SHA, "image/png"))
    asked = cassette(input)
    assert [stored.name for stored in folder.find(asked.key)] == ["fal-ai__flux__dev/edited.json"]


def test_a_cassette_that_cannot_be_written_gives_an_error_that_names_the_file(tmp_path: Path) -> None:
    folder = CassetteFolder(tmp_path)
    (tmp_path / "fal-ai__flux__dev").write_text("in the way")
    with pytest.raises(CassetteError, match=r"fal-ai__flux__dev/.*json: the recording can't be written"):
        folder.add(cassette({}))


def test_a_folder_that_cannot_be_made_is_found_before_a_call_is_billed(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    recordings = Recordings(tmp_path / "file" / "recordings", mode="record", upstream_key="id:secret")
    with pytest.raises(
        ValueError, match=r"recordings: recordings can't be written to this folder: Not a dir"
    ):
        Emulator(recordings=recordings)


def test_a_path_in_place_of_the_option_says_what_is_expected() -> None:
    path: Any = "cassettes"
    with pytest.raises(TypeError, match=r"recordings='cassettes': expected a Recordings, such as Rec"):
        Emulator(recordings=path)


_ON_A_FULL_DISK = """
import resource, sys
from fal_async.emulator.cassettes.cassette_folder import CassetteFolder
from fal_async.emulator.cassettes.document_fields import CassetteError
from tests.emulator.cassettes.samples import cassette

folder = CassetteFolder(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))  # bytes: what is longer can't be written
for write in (lambda: folder.add(cassette({})), lambda: folder.add_file(bytes(1000), "image/png")):
    try:
        write()
    except CassetteError as error:
        print(error)
"""


def test_a_full_disk_gives_an_error_that_names_the_file_and_leaves_no_part_of_it(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-c", _ON_A_FULL_DISK, str(tmp_path)], capture_output=True, text=True, check=True
    )
    lines = run.stdout.splitlines()
    assert [line.partition("can't be written")[2] for line in lines] == [": File too large"] * 2
    assert all(str(tmp_path) in line for line in lines)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("")
    with pytest.raises(CassetteError, match="expected a folder of recordings, but it is a file"):
        CassetteFolder(tmp_path / "x")


def test_a_changed_copy_of_a_cassette_has_the_digest_of_its_own_input() -> None:
    made = cassette({"seed": 1})
    assert attrs.evolve(made, input={"seed": 2}).digest != made.digest
