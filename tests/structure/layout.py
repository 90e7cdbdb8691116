"""How large the modules, functions and folders below a root are, and which file names occur twice there."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

MODULE, FUNCTION, FOLDER = 300, 40, 20
"""Lines, lines and files: what a person can read in one sitting."""
_SEVERAL = ("__init__.py", "__main__.py")  # the same in each folder by Python's rules


def long_modules(root: Path, limit: int = MODULE) -> list[str]:
    """Return the modules with more lines than `limit`. Docstrings are not counted."""
    sizes = {path: _lines_of_code(path.read_text(encoding="utf-8")) for path in _modules(root)}
    return [f"{_name(path, root)}: {lines} lines" for path, lines in sizes.items() if lines > limit]


def long_functions(root: Path, limit: int = FUNCTION) -> list[str]:
    """Return the functions whose bodies are longer than `limit`. Parameters and docstrings are not counted."""
    return [
        f"{_name(path, root)}:{function.lineno}: {function.name}: {lines} lines"
        for path in _modules(root)
        for function in _functions(path)
        if (lines := _body_lines(function)) > limit
    ]


def full_folders(root: Path, limit: int = FOLDER, more: Mapping[str, int] | None = None) -> list[str]:
    """Return the folders with more files than `limit`; `more` has other limits, by folder."""
    limits = more or {}
    folders = [
        root,
        *sorted(path for path in root.rglob("*") if path.is_dir() and path.name != "__pycache__"),
    ]
    counts = {_name(folder, root): sum(path.is_file() for path in folder.iterdir()) for folder in folders}
    return [f"{name}: {count} files" for name, count in counts.items() if count > limits.get(name, limit)]


def names_of_two_subjects(root: Path, subjects: Mapping[str, str]) -> list[str]:
    """Return the file names that occur in several folders.

    `subjects` has the names for which that is right, each with the subject that all of these files share. A name of
    `subjects` that no longer occurs in several folders is returned, too.
    """
    places: dict[str, list[str]] = {}
    for path in _modules(root):
        if path.name not in _SEVERAL:
            places.setdefault(path.name, []).append(_name(path, root))
    shared = {name: found for name, found in places.items() if len(found) > 1}
    return [
        *(f"{name}: {', '.join(found)}" for name, found in shared.items() if name not in subjects),
        *(f"{name}: not in several folders" for name in subjects if name not in shared),
    ]


def _lines_of_code(source: str) -> int:
    return len(source.splitlines()) - sum(
        (node.end_lineno or node.lineno) - node.lineno + 1
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _modules(root: Path) -> list[Path]:
    return sorted(root.rglob("*.py"))


def _name(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()


def _functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def _body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    body = function.body[1:] if ast.get_docstring(function, clean=False) is not None else function.body
    if not body:
        return 0
    decorators = getattr(body[0], "decorator_list", [])
    first: int = min(node.lineno for node in (body[0], *decorators))
    return (function.end_lineno or first) - first + 1
