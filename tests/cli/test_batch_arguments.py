"""The arguments of `fal-async batch`: valid ones are passed on, and invalid ones are reported."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import pytest

from fal_async import BatchSummary
from fal_async.cli import main
from fal_async.cli.batch import PARTS
from fal_async.cli.batch import shared_arguments as arguments
from fal_async.cli.batch.reports import Report

RUN = ("batch", "run", "fal-ai/flux/dev", "x.jsonl", "--ledger", "x.db")


def exit_code(*given: str) -> int | str | None:
    try:
        return main(given)
    except SystemExit as ended:
        return ended.code


@pytest.mark.parametrize("part", PARTS)
def test_help_of_each_part_of_batch_shows_its_arguments(
    part: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code("batch", part, "--help") == 0
    shown = capsys.readouterr().out
    assert f"usage: fal-async batch {part}" in shown
    assert "--ledger" in shown
    assert "--json" in shown


def test_help_of_batch_run_imports_no_heavy_module() -> None:
    script = (
        "import sys\n"
        "from fal_async.cli import main\n"
        "try: main(['batch', 'run', '--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'aiohttp', 'cattrs', 'asyncio', 'sqlite3', 'rich', 'pyarrow'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("batch", "run", "--help-me"), "unknown option --help-me: did you mean --help?"),
        (("batch", "run", "fal-ai/flux/dev", "x.jsonl"), "required: --ledger"),
        ((*RUN, "--concurrency", "0"), "an integer >= 1"),
        ((*RUN, "--retries", "-1"), "an integer >= 0"),
        ((*RUN, "--max-failures", "150%"), "a share such as 5%"),
        ((*RUN, "--max-failures", "0%"), "a share such as 5%"),
        ((*RUN, "--max-failures", "0.5"), "an integer >= 0"),
        ((*RUN, "--max-cost", "-1"), "an amount"),
        ((*RUN, "--max-cost", "NaN"), "an amount"),
        ((*RUN, "--timeout", "0"), "seconds > 0"),
        ((*RUN, "--columns", "a,,b"), "separated by commas"),
        ((*RUN, "--uncertain", "maybe"), "invalid choice: 'maybe'"),
        (("batch", "status", "--ledger", "nowhere.db"), "expected the file of an existing ledger"),
        (
            ("batch", "export", "x.csv", "--ledger", "sqlite:///nowhere.db"),
            "/nowhere.db",
        ),
        (("batch", "status", "--ledger", ":memory:"), "must outlive the process"),
        (("batch", "uncertain", "--ledger", __file__, "--lookup", "--resolve", "k"), "not allowed with"),
        (
            (
                "batch",
                "uncertain",
                "--ledger",
                __file__,
                "--resolve",
                "k",
                "--request-id",
                "i",
                "--not-taken",
            ),
            "not allowed with",
        ),
    ],
)
def test_wrong_arguments_of_batch_exit_with_2_and_a_message(
    given: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(*given) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("more", [("--resolve", "k"), ("--not-taken",), ("--request-id", "i", "--lookup")])
def test_resolve_and_its_decision_without_each_other_exit_with_2(
    more: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(("batch", "uncertain", "--ledger", __file__, *more)) == 2
    assert "--resolve KEY needs --request-id ID" in capsys.readouterr().err


@pytest.mark.parametrize(("text", "limit"), [("20", 20), ("0", 0), ("5%", 0.05), ("0.5%", 0.005)])
def test_max_failures_is_parsed_as_a_number_or_a_share(text: str, limit: float) -> None:
    assert arguments.failures(text) == limit
    assert isinstance(arguments.failures(text), type(limit))


def test_an_existing_ledger_is_accepted_by_its_url(tmp_path: Path) -> None:
    (tmp_path / "my runs.db").touch()
    url = f"sqlite:///{tmp_path}/my%20runs.db"
    parser = argparse.ArgumentParser()
    arguments.add_ledger(parser, must_exist=True)
    assert parser.parse_args(["--ledger", url]).ledger == url


def test_status_of_a_missing_ledger_exits_with_2_and_makes_no_file(tmp_path: Path) -> None:
    assert exit_code("batch", "status", "--ledger", str(tmp_path / "typo.db")) == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--max-cost", "20"), "max_cost"),
        (
            ("--key-column", "nowhere"),
            "inputs.jsonl, input 1: column 'nowhere' can't be the key: the value is missing",
        ),
        (("--key-column", "flag"), "input 1: column 'flag' can't be the key: key is of type bool"),
        (("--columns", "prompt", "--key-column", "flag"), "input 1: column 'flag' can't be the key"),
        (("--columns", "promt", "--key-column", "flag"), "input 1: expected at least one of 'promt'"),
        (("--columns", "promt"), "input 1: expected at least one of 'promt'"),
        (("--names", "{nowhere}", "--download", "out"), "names"),
        (("--ledger", "nowhere/x.db"), "nowhere"),
    ],
)
def test_batch_run_with_unusable_arguments_exits_with_2_and_sends_nothing(
    more: tuple[str, ...],
    said: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FAL_KEY", "some:key")
    monkeypatch.setenv("FAL_BASE_URL", "http://127.0.0.1:9")  # nothing listens on this port
    Path("inputs.jsonl").write_text('{"prompt": "x", "flag": true}\n')
    assert main(("batch", "run", "fal-ai/flux/dev", "inputs.jsonl", "--ledger", "x.db", *more)) == 2
    assert said in capsys.readouterr().err


def test_batch_without_a_key_exits_with_3_and_reports_it_as_json_too(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for given in (RUN, ("batch", "uncertain", "--ledger", __file__, "--lookup")):
        assert main((*given, "--json")) == 3
        captured = capsys.readouterr()
        assert "no FAL_KEY found" in captured.err
        assert "no FAL_KEY found" in json.loads(captured.out)["error"]["message"]


def test_an_error_of_batch_run_is_printed_as_json_too(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAL_KEY", "some:key")
    assert main((*RUN, "--json")) == 2
    captured = capsys.readouterr()
    assert json.loads(captured.out)["error"]["message"] == "x.jsonl: No such file or directory"
    assert captured.err == "fal-async batch run: x.jsonl: No such file or directory\n"


@pytest.mark.parametrize(
    ("ledger", "said"), [("runs.db", "runs.db"), ("postgresql://me:secret@host/runs", "postgresql://...")]
)
def test_advice_about_uncertain_items_names_the_ledger_without_its_password(
    ledger: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Report(as_json=False, ledger=ledger, shown=True).summary("fal-ai/flux/dev", BatchSummary(uncertain=1))
    advice = capsys.readouterr().err
    assert advice == f"to resolve uncertain items: fal-async batch uncertain --ledger {said}\n"
