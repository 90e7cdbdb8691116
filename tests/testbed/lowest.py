"""Print the lowest versions in pyproject.toml as constraints for pip: `python -m tests.testbed.lowest`."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
_REQUIREMENT = re.compile(r"(?P<name>[\w.-]+)(?:\[\w+\])?>=(?P<version>[\w.]+)")
"""A constraint has no extras, such as the one of `ray[data]>=2.54.1`."""


def lowest_versions(project: Any, own_name: str = "fal-async") -> Iterator[str]:
    """Yield a line for each requirement of the package and its extras; ValueError if one has no lower bound."""
    for requirement in [
        *project["dependencies"],
        *(one for extra in project["optional-dependencies"].values() for one in extra),
    ]:
        if requirement.startswith(f"{own_name}["):
            continue  # the extra that combines the others
        declared = _REQUIREMENT.fullmatch(requirement)
        if declared is None:
            raise ValueError(f"{requirement}: expected a lower bound, as in name>=1.0")
        yield f"{declared['name']}=={declared['version']}"


if __name__ == "__main__":
    with (ROOT / "pyproject.toml").open("rb") as file:
        sys.stdout.write("\n".join(lowest_versions(tomllib.load(file)["project"])) + "\n")
