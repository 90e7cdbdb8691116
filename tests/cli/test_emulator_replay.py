"""`fal-async emulator --replay` as a command."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from fal_async.cli import main
from fal_async.emulator.cassettes.cassette_folder import CassetteFolder
from tests.emulator.cassettes.samples import answered, cassette

_PROGRAM = """
import json, sys, urllib.request
for seed in 7, 8:
    call = urllib.request.Request(
        "https://fal.run/fal-ai/flux/dev",
        json.dumps({"seed": seed}).encode(),
        {"Authorization": "Key any:key", "Content-Type": "application/json"},
    )
    try:
        print(urllib.request.urlopen(call).read().decode())
    except urllib.error.HTTPError as error:
        print(json.load(error)["detail"])
"""


def test_an_unchanged_program_gets_recorded_answers_and_the_difference_of_what_is_missing(
    tmp_path: Path,
) -> None:
    answer = answered({"n": 1}, after=60.0)
    name = CassetteFolder(tmp_path).add(cassette({"seed": 7}, via="run", submit=None, answer=answer)).name
    words = ["exec", "--no-key", "--replay", str(tmp_path), "--replay-speed", "inf", "--"]
    command = [sys.executable, "-m", "fal_async", "emulator", *words, sys.executable, "-c", _PROGRAM]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines() == [
        json.dumps({"n": 1}, separators=(",", ":")),
        f"not recorded: fal-ai/flux/dev: input.seed: 7 recorded, 8 asked (nearest recording: {name})",
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--replay", "nowhere"], "nowhere: there is no such folder of recordings"),
        (["--missing", "emulate"], "--missing and --replay-speed belong to --replay DIR"),
        (["--replay", "x", "--replay-speed", "0"], "'0': expected a number > 0, or inf"),
    ],
)
def test_wrong_arguments_about_recordings_are_explained(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        status: object = main(["emulator", "--port", "0", *words])
    except SystemExit as ended:
        status = ended.code
    assert status != 0
    assert message in capsys.readouterr().err
