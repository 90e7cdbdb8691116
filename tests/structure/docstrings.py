"""Prints which public docstrings lack a section of Google's format, and where a section and the signature differ.

`python -m tests.structure.docstrings` checks all public names, with arguments only those of the given modules,
such as `fal_async.storage`. Ruff's rules D check the format itself: summary line, blank lines, section headings.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
import sys
from collections.abc import Iterable, Iterator
from itertools import takewhile
from types import ModuleType
from typing import Any

import attrs
from griffe import Docstring, DocstringSectionKind

import fal_async

PUBLIC_MODULES = (
    "fal_async",
    "fal_async.emulator",
    "fal_async.integrations.fastapi",
    "fal_async.integrations.proxy",
    "fal_async.integrations.starlette",
)
"""What a user imports from. Classes that their functions and properties return are public, too."""
INTERNAL = {
    "new_store": "for the session: it opens the ledger's file",
    "about": "for the package: adds the request's id to an error",
    "at": "for the package: adds a place to an error",
}
"""Methods of public classes that only the package calls."""
_ELSEWHERE = re.compile(r"[Aa]rguments\b[^.]*\b(?:as|like|of|from) `([\w.]+)`")
"""Said in place of sections, where another function has the same arguments."""
_NO_RESULT = ("None", "Never", "NoReturn", "Self")
_ASYNC_RETURNS = re.compile(r"(?:collections\.abc\.)?(?:Coroutine|Awaitable)\[")


@attrs.frozen
class Documented:
    """One public function, property or class."""

    name: str
    module: str
    value: Any

    def sections(self) -> dict[DocstringSectionKind, Any]:
        parsed = Docstring(self.text()).parse("google", warnings=False, warn_unknown_params=False)
        return {section.kind: section.value for section in parsed}

    def text(self) -> str:
        return inspect.getdoc(self.value) or ""


def public_objects(modules: Iterable[str] = PUBLIC_MODULES) -> list[Documented]:
    """Return the public names of `modules`, the classes that can be reached from them, and the members of both."""
    classes = _classes_by_name()
    found: dict[str, Documented] = {}
    for name, value in _public_names(modules):
        _add(name, value, found, classes)
    return sorted(found.values(), key=lambda each: each.name)


def _public_names(modules: Iterable[str]) -> Iterator[tuple[str, Any]]:
    for path in modules:
        module = importlib.import_module(path)
        names = getattr(module, "__all__", None) or [
            name
            for name, value in vars(module).items()
            if not name.startswith("_") and getattr(value, "__module__", "") == path
        ]
        for name in names:
            yield name, getattr(module, name)


def _add(name: str, value: Any, found: dict[str, Documented], classes: dict[str, list[type]]) -> None:
    if name in found:
        return
    if inspect.isclass(value):
        if not value.__module__.startswith("fal_async"):
            return
        found[name] = Documented(name, value.__module__, value)
        for member, function in _members(value):
            _add(f"{name}.{member}", function, found, classes)
        return
    function = _function_of(value)
    if function is None:
        return
    if any(_function_of(each.value) is function for each in found.values()):
        return  # inherited, and described where it is defined
    found[name] = Documented(name, function.__module__, value)
    for word in re.findall(r"\w+", str(inspect.get_annotations(function).get("return", ""))):
        if word in classes:
            _add(word, _nearest(classes[word], function.__module__), found, classes)


def _nearest(classes: list[type], module: str) -> type:
    """Return the class of a name that `module` most likely means: the one that shares most of the module's path."""

    def shared(each: type) -> int:
        pairs = zip(each.__module__.split("."), module.split("."), strict=False)
        return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))

    return max(classes, key=shared)


def _members(owner: type) -> Iterator[tuple[str, Any]]:
    """Yield the public methods and properties that `owner` or a base in the package defines."""
    for name in dir(owner):
        home = next((base for base in owner.__mro__ if name in vars(base)), object)
        if name.startswith("_") or name in INTERNAL or not home.__module__.startswith("fal_async"):
            continue
        value = vars(home)[name]
        if isinstance(value, staticmethod | classmethod):
            value = value.__func__
        if _function_of(value) is not None:
            yield name, value


def _function_of(value: Any) -> Any:
    """Return the function behind a function, property or cached property; else None."""
    if isinstance(value, property):
        value = value.fget
    value = getattr(value, "func", value)  # of a cached property
    return value if inspect.isfunction(value) and value.__module__.startswith("fal_async") else None


def _classes_by_name() -> dict[str, list[type]]:
    found: dict[str, list[type]] = {}
    for module in _package_modules():
        for name, value in vars(module).items():
            if inspect.isclass(value) and value.__module__ == module.__name__ and not name.startswith("_"):
                found.setdefault(name, []).append(value)
    return found


def _package_modules() -> Iterator[ModuleType]:
    for found in pkgutil.walk_packages(fal_async.__path__, "fal_async."):
        if not found.name.endswith("__main__"):
            yield importlib.import_module(found.name)


def complaints(each: Documented) -> Iterator[str]:
    """Yield one line for each thing that the docstring lacks."""
    if not each.text():
        yield "no docstring"
    elif inspect.isclass(each.value):
        yield from _of_class(each)
    elif inspect.isfunction(each.value) and not _ELSEWHERE.search(each.text()):
        yield from _of_function(each)


def _of_class(each: Documented) -> Iterator[str]:
    if not attrs.has(each.value):
        return
    fields = {field.alias or field.name for field in attrs.fields(each.value)} | {
        field.name for field in attrs.fields(each.value)
    }
    needed = [
        field.name
        for field in attrs.fields(each.value)
        if not field.name.startswith("_") and field.name not in _described_by_bases(each.value)
    ]
    sections = each.sections()
    described = _names(sections, DocstringSectionKind.attributes) + _names(
        sections, DocstringSectionKind.parameters
    )
    if missing := [name for name in needed if name not in described]:
        yield f"Attributes: lacks {', '.join(missing)}"
    properties = {name for name, value in _members(each.value) if not inspect.isfunction(value)}
    if unknown := [name for name in described if name not in fields | properties]:
        yield f"Attributes: {', '.join(unknown)} is not there"


def _described_by_bases(owner: type) -> set[str]:
    described: set[str] = set()
    for base in owner.__mro__[1:]:
        if base.__module__.startswith("fal_async"):
            sections = Documented("", "", base).sections()
            described |= set(_names(sections, DocstringSectionKind.attributes))
    return described


def _of_function(each: Documented) -> Iterator[str]:
    sections, signature = each.sections(), inspect.signature(each.value)
    names = [
        name
        for name, parameter in signature.parameters.items()
        if name not in ("self", "cls")
        and not name.startswith("_")
        and parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
    ]
    described = _names(sections, DocstringSectionKind.parameters)
    if missing := [name for name in names if name not in described]:
        yield f"Args: lacks {', '.join(missing)}"
    if unknown := [
        name for name in described if name not in signature.parameters and not _takes_options(signature)
    ]:
        yield f"Args: {', '.join(unknown)} is not a parameter"
    returned = str(signature.return_annotation)
    if returned not in _NO_RESULT and not _says_result(each, sections):
        yield "Returns: (or Yields:) is missing, and the summary does not begin with Return"
    if inspect.iscoroutinefunction(inspect.unwrap(each.value)) or _ASYNC_RETURNS.match(returned):
        if "cancel" not in each.text().lower():
            yield "does not say whether cancelling is safe"
        if DocstringSectionKind.raises not in sections and "raises nothing" not in each.text().lower():
            yield "Raises: is missing"


def _takes_options(signature: inspect.Signature) -> bool:
    return any(parameter.kind is parameter.VAR_KEYWORD for parameter in signature.parameters.values())


def _says_result(each: Documented, sections: dict[DocstringSectionKind, Any]) -> bool:
    kinds = (DocstringSectionKind.returns, DocstringSectionKind.yields)
    return any(kind in sections for kind in kinds) or each.text().startswith(("Return ", "Yield "))


def _names(sections: dict[DocstringSectionKind, Any], kind: DocstringSectionKind) -> list[str]:
    return [item.name.strip("*, ") for item in sections.get(kind, ())]


def report(prefixes: tuple[str, ...] = ()) -> list[str]:
    """Return the complaints about all public objects, or about those whose modules begin with one of `prefixes`."""
    return [
        f"{each.module}: {each.name}: {complaint}"
        for each in public_objects()
        if not prefixes or each.module.startswith(prefixes)
        for complaint in complaints(each)
    ]


if __name__ == "__main__":
    found = report(tuple(sys.argv[1:]))
    sys.exit("\n".join(found) if found else 0)
