"""`fal-async types`."""

from __future__ import annotations

from pathlib import Path

import pytest

from fal_async.typegen.styles import STYLES
from tests.cli.shell import Shell


def test_a_module_is_printed_and_nothing_is_billed_or_sent_with_a_key(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FAL_KEY")
    done = shell.run("types", "fal-ai/flux/dev")
    assert (done.status, done.err) == (0, "")
    assert "\n\nfal-async types fal-ai/flux/dev --style attrs\n" in done.out
    assert "    image_size: ImageSize | FluxDevInputImageSize | None = None\n" in done.out
    assert "class FluxDevInput:" in done.out
    assert done.out.endswith(
        '\nflux_dev = Endpoint("fal-ai/flux/dev", input=FluxDevInput, output=FluxDevOutput)\n'
    )


@pytest.mark.parametrize("style", STYLES)
def test_a_module_is_written_and_stays_the_same_until_fal_changes(
    style: str, shell: Shell, tmp_path: Path
) -> None:
    file = tmp_path / "fal_types.py"
    command = ("types", "fal-ai/flux/dev", "fal-ai/flux/schnell", "--style", style, "-o", str(file))
    assert shell.run(*command).err == f"{file}: written\n"
    text = file.read_text()
    assert f"--style {style} -o fal_types.py\n" in text
    assert shell.run(*command).err == f"{file}: unchanged\n"
    assert file.read_text() == text
    check = shell.run(*command, "--check")
    assert (check.status, check.out, check.err) == (0, "", f"{file}: current\n")


def test_a_check_says_what_has_changed_at_fal_and_writes_nothing(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "fal_types.py"
    command = ("types", "fal-ai/flux/dev", "-o", str(file))
    shell.run(*command)
    old = file.read_text().replace("seed: int | None = None", "sed: str | None = None", 1)
    file.write_text(old)
    done = shell.run(*command, "--check")
    assert done.status == 1
    assert done.out.splitlines() == ["FluxDevInput.sed: removed", "FluxDevInput.seed: added (int, optional)"]
    assert "2 changes at fal" in done.err
    assert file.read_text() == old
    assert shell.run(*command, "--check", "--json").document == {
        "file": str(file),
        "current": False,
        "changes": done.out.splitlines(),
    }
    assert shell.run(*command).err.splitlines() == [*done.out.splitlines(), f"{file}: written"]


def test_json_has_the_module_or_the_file_that_was_written(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "fal_types.py"
    module = shell.run("types", "fal-ai/flux/dev", "--json").document["module"]
    assert "class FluxDevInput:" in module
    written = shell.run("types", "fal-ai/flux/dev", "-o", str(file), "--json").document
    assert written == {"file": str(file), "written": True, "changes": []}


def test_an_unknown_endpoint_is_told_and_no_file_is_written(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "fal_types.py"
    done = shell.run("types", "fal-ai/flux/dev", "fal-ai/nowhere", "-o", str(file))
    assert (done.status, done.out, file.exists()) == (1, "", False)
    assert "fal-ai/nowhere" in done.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["fal-ai/flux/dev", "--check"], "--check needs -o FILE"),
        (["flux"], "endpoint id 'flux': expected owner/app"),
        (["fal-ai/flux/dev", "--style", "zod"], "invalid choice: 'zod'"),
        ([], "ENDPOINT"),
    ],
)
def test_wrong_arguments_are_told_with_the_right_ones(words: list[str], said: str, shell: Shell) -> None:
    done = shell.run("types", *words)
    assert done.status == 2
    assert said in done.err


def test_a_missing_file_can_not_be_checked(shell: Shell, tmp_path: Path) -> None:
    done = shell.run("types", "fal-ai/flux/dev", "-o", str(tmp_path / "no.py"), "--check")
    assert done.status == 1
    assert "no.py: No such file or directory" in done.err
