"""Finds code that reads a private attribute of another object."""

from __future__ import annotations

import ast
from pathlib import Path


def modules_with_foreign_private_names(root: Path) -> set[Path]:
    """Return the modules below `root` that do so."""
    return {path for path in root.rglob("*.py") if _foreign_private_attributes(path)}


def _foreign_private_attributes(path: Path) -> list[str]:
    return [
        ast.unparse(node)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
        and node.attr.startswith("_")
        and not node.attr.startswith("__")
        # The names of `sys` with an underscore, such as sys._current_frames, are documented.
        and not (isinstance(node.value, ast.Name) and node.value.id in ("self", "cls", "sys"))
    ]
