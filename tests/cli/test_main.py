"""The command line as a whole: its help, its version and wrong arguments."""

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
def test_help_of_each_verb_shows_its_usage(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(verb, "--help") == 0
    assert f"usage: fal-async {verb}" in capsys.readouterr().out


def test_the_version_option_prints_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("--version") == 0
    assert capsys.readouterr().out.startswith("fal-async ")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "required: VERB"),
        (("emulater",), "invalid choice: 'emulater'"),
        (("emulator", "--port", "70000"), "expected a port"),
        (("emulator", "--speed", "0"), "expected a number > 0"),
        (("emulator", "--speed", "fast"), "expected a number"),
        (("emulator", "--runners", "0"), "expected an integer >= 1"),
        (("emulator", "--retention", "-1"), "expected seconds >= 0"),
        (("emulator", "--key", "secret"), "id:secret"),
        (("emulator", "--key", "a:b", "--no-key"), "not allowed with"),
        (("emulator", "--folder", __file__), "it is a file"),
    ],
)
def test_wrong_arguments_exit_with_2_and_a_message(
    arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(*arguments) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["", *VERBS])
def test_help_of_each_verb_imports_no_heavy_module(verb: str) -> None:
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
