from __future__ import annotations

import subprocess
import sys

import pytest

from fal_async.cli import VERBS, main


def exit_code(*arguments: str) -> int | str | None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return ended.value.code


def test_help_names_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("--help") == 0
    shown = capsys.readouterr().out
    for verb, line in VERBS.items():
        assert f"{verb}" in shown
        assert line in shown


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_explains_itself(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(verb, "--help") == 0
    assert f"usage: fal-async {verb}" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("--version") == 0
    assert capsys.readouterr().out.startswith("fal-async ")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "required: VERB"),
        (("emulater",), "invalid choice: 'emulater'"),
        (("emulator", "--port", "70000"), "no port"),
        (("emulator", "--speed", "0"), "more than 0"),
        (("emulator", "--speed", "fast"), "no number"),
        (("emulator", "--runners", "0"), "from 1 on"),
        (("emulator", "--retention", "-1"), "0 seconds or more"),
        (("emulator", "--key", "secret"), "id:secret"),
        (("emulator", "--key", "a:b", "--no-key"), "not allowed with"),
        (("emulator", "--folder", __file__), "is a file"),
    ],
)
def test_arguments_that_make_no_sense(
    arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(*arguments) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["", *VERBS])
def test_help_loads_nothing_heavy(verb: str) -> None:
    script = (
        "import sys\n"
        "from fal_async.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "heavy = {'aiohttp', 'cattrs', 'backoff', 'asyncio'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    arguments = [verb, "--help"] if verb else ["--help"]
    done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, timeout=30)
    assert done.returncode == 0, done.stderr
