"""Check a built wheel: `make wheel`.

`python -m tests.testbed.built_wheel FOLDER PYTHON [TAG]`: the folder contains a wheel, and that Python has it
installed with its requirements only. The wheel must contain the package and no other file of the checkout; the
README's first program must run with it, and so must its command line.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = "fal_async"
_NOT_SHIPPED = ("__pycache__", ".pyc")
_SECONDS = 100.0


def wrong_files(shipped: Iterable[str], package: Path) -> list[str]:
    """Return the missing and the surplus files of a wheel, compared with the package folder; ignore metadata."""
    ours = {name for name in shipped if ".dist-info/" not in name}
    wanted = {
        path.relative_to(package.parent).as_posix()
        for path in package.rglob("*")
        if path.is_file() and not any(part in path.as_posix() for part in _NOT_SHIPPED)
    }
    wanted.add(f"{PACKAGE}/py.typed")
    return [
        *(f"missing: {name}" for name in sorted(wanted - ours)),
        *(f"surplus: {n}" for n in sorted(ours - wanted)),
    ]


def tag_of(wheel: Path) -> str:
    """Return the tag of the wheel's release: `v` and its version."""
    return "v" + wheel.name.split("-")[1]


def first_program(readme: str) -> str:
    """Return the first Python block of a document."""
    return readme.split("```python\n", 1)[1].split("```", 1)[0]


def relative_links(document: str) -> list[str]:
    """Return the links that lead nowhere from the package index."""
    return re.findall(r"\]\((?!https?://)([^)\s]+)\)", document)


@contextmanager
def local_fal(python: Path, folder: Path) -> Iterator[str]:
    """Run the emulator of the installed package; yield the URL that it prints."""
    command: list[str | Path] = [python, "-m", PACKAGE, "emulator", "--port", "0", "--speed", "20"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().split()[3]
        finally:
            process.terminate()
            process.wait(_SECONDS)


def check(dist: Path, python: Path, tag: str | None) -> None:
    (wheel,) = dist.glob("*.whl")
    if tag is not None and tag != (version := tag_of(wheel)):
        sys.exit(f"the tag is {tag}, but the wheel is {version}: set fal_async/version.py: __version__ first")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = archive.read(next(name for name in names if name.endswith(".dist-info/METADATA"))).decode()
    wrong = [
        *wrong_files(names, ROOT / PACKAGE),
        *(f"relative link: {link}" for link in relative_links(metadata)),
    ]
    if wrong:
        sys.exit(f"{wheel.name}: {'; '.join(wrong)}")
    with tempfile.TemporaryDirectory() as name:
        try_it(python, Path(name))
    print(f"{wheel.name}: it is complete, and runs the README's first program")  # noqa: T201


def try_it(python: Path, folder: Path) -> None:
    """Run the command line, the demo and the README's first program in a folder outside the checkout."""
    version = run(python, folder, "-m", PACKAGE, "--version")
    script = subprocess.check_output([python.parent / "fal-async", "--version"], cwd=folder, text=True)
    if script != version:
        sys.exit(f"fal-async --version says {script!r}, python -m {PACKAGE} says {version!r}")
    run(python, folder, "-m", PACKAGE, "demo")
    pictures = list(folder.glob("demo-output/*.png"))
    if len(pictures) != 4:
        sys.exit(f"the demo left {len(pictures)} pictures, not 4")
    (folder / "first.py").write_text(
        first_program((ROOT / "README.md").read_text(encoding="utf-8")), encoding="utf-8"
    )
    with local_fal(python, folder) as url:
        run(python, folder, "-W", "error", "first.py", FAL_BASE_URL=url, FAL_KEY="emulator:key")


def run(python: Path, folder: Path, *command: str, **environment: str) -> str:
    """Run a command without FAL_* and PYTHON* variables; return its output, or exit if it fails."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("FAL_", "PYTHON"))}
    done = subprocess.run(
        [python, *command],
        cwd=folder,
        env={**clean, **environment},
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{' '.join(command)}: exit status {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    check(Path(sys.argv[1]), Path(sys.argv[2]).absolute(), sys.argv[3] if sys.argv[3:] else None)
