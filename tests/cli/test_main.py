"""The command line as a whole: its help, its version and wrong arguments."""

from __future__ import annotations

import subprocess
import sys

import pytest

from fal_async.cli import VERBS, main
from fal_async.cli.verbs import TOPICS


def exit_code(*arguments: str) -> int | str | None:
    try:
        return main(arguments)
    except SystemExit as ended:
        return ended.code


def test_help_names_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("--help") == 0
    shown = capsys.readouterr().out
    for name, verb in VERBS.items():
        assert f"  {name} " in shown
        assert verb.line in shown


def test_the_program_alone_prints_the_verbs_by_topic(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code() == 0
    shown = capsys.readouterr().out
    assert [line for line in shown.splitlines() if line in {f"{topic}:" for topic in TOPICS}] == [
        f"{topic}:" for topic, verbs in TOPICS.items() if verbs
    ]


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_each_verb_shows_its_usage(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(verb, "--help") == 0
    assert f"usage: fal-async {verb}" in capsys.readouterr().out


def test_help_as_a_word_is_the_option_help(capsys: pytest.CaptureFixture[str]) -> None:
    shown = []
    for words in (("help", "batch", "run"), ("batch", "run", "--help"), ("help",), ("--help",)):
        assert exit_code(*words) == 0
        shown.append(capsys.readouterr().out)
    assert (shown[0], shown[2]) == (shown[1], shown[3])


def test_the_version_option_prints_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("--version") == 0
    assert capsys.readouterr().out.startswith("fal-async ")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("emulater",), "'emulater' is not one of its verbs: did you mean emulator?"),
        (("xyz",), "'xyz' is not one of its verbs: "),
        (("batch",), "fal-async batch: a verb is missing: run, status, uncertain, export"),
        (("batch", "statsu"), "did you mean status?"),
        (("emulator", "--prot", "1"), "unknown option --prot: did you mean --port?"),
        (("emulator", "--zzz"), "fal-async emulator: unknown option --zzz\n"),
        (("emulator", "--port=1", "word"), "unknown argument 'word'"),
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
