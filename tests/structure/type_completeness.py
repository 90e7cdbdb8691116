"""Fails where a public symbol has no complete type, as pyright sees those of an installed package.

A step of `make lint`: `python -m tests.structure.type_completeness`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

_VERIFY = ("-m", "pyright", "--verifytypes", "fal_async", "--ignoreexternal", "--outputjson")
_FOLLOWS = "partially unknown"
"""pyright says this of every symbol that uses the incomplete one: often hundreds for one cause."""


def report() -> dict[str, Any]:
    """Return pyright's report on the package. In this mode it ignores `--pythonpath` and uses PATH."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    done = subprocess.run(
        [sys.executable, *_VERIFY], env={**os.environ, "PATH": path}, stdout=subprocess.PIPE, check=False
    )
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def complaints(said: Mapping[str, Any]) -> list[str]:
    """Return the causes; if none of them is in the package, all incomplete symbols."""
    symbols = said["typeCompleteness"]["symbols"]
    found = [line for symbol in symbols for line in _lines(symbol)]
    found += [error["message"] for error in said["generalDiagnostics"]]
    return [line for line in found if _FOLLOWS not in line] or found


def _lines(symbol: Mapping[str, Any]) -> Iterator[str]:
    if symbol["isTypeKnown"] and not symbol["isTypeAmbiguous"]:
        return
    for error in symbol["diagnostics"]:
        if error["severity"] == "error":
            where = f"{error['file']}:{error['range']['start']['line'] + 1}: " if error["file"] else ""
            yield f"{where}{symbol['name']}: {' '.join(error['message'].split())}"


if __name__ == "__main__":
    said = report()
    score = said["typeCompleteness"]["completenessScore"]
    if score < 1:
        sys.exit("\n".join([*complaints(said), f"fal_async: {score:.1%} of the public types are complete"]))
