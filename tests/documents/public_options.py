"""What a user can set, read from the code: the options of every public call, the fields of every settings class.

Public is what `fal_async` and `fal_async.emulator` export, what the documents import from elsewhere in the package,
and the resources of a session or an emulator: a property that returns the class of its own name, such as
`Session.queue`.
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import attrs

import fal_async
import fal_async.emulator

PACKAGE = Path(fal_async.__file__).parent
_IMPORT = re.compile(r"^from (fal_async\.[\w.]+) import \(?([\w, \n]+)\)?$", re.M)
_CODE = re.compile(r"^```python\n(.*?)^```$", re.M | re.S)


class Required(str):
    """Text of its own class, because an option may have the default "required"."""


REQUIRED = Required("required")


@attrs.frozen
class Option:
    """One parameter of a call, or one field of a settings class. `default` is REQUIRED if it has no default."""

    type: str
    default: Any


Options = dict[str, Option]


def public_objects(documents: Collection[Path]) -> Iterator[tuple[str, Any]]:
    """The public functions and classes with their names; the second one of a name with its module's name, too."""
    shown = {"fal_async": set[str](), "fal_async.emulator": set[str]()}
    for path in documents:
        for code in _CODE.findall(path.read_text(encoding="utf-8")):
            for module, names in _IMPORT.findall(code):
                shown.setdefault(module, set()).update(re.findall(r"\w+", names))
    seen: dict[str, Any] = {}
    for home, imported in sorted(shown.items()):
        if home.startswith("fal_async.protocol"):  # maintainers' documents show a part of it
            continue
        module = importlib.import_module(home)
        for name in getattr(module, "__all__", sorted(imported)):
            value = getattr(module, name)
            if seen.setdefault(name, value) is not value:
                name = f"{home.rpartition('.')[2]}.{name}"
            yield name, value


def calls(objects: Collection[tuple[str, Any]]) -> dict[str, list[Options]]:
    """The calls that have an option, with their parameters; several where functions of one name differ."""
    found: dict[str, list[Options]] = {}
    for name, function in _functions(objects):
        options = _parameters(function)
        if any(option.default is not REQUIRED for option in options.values()):
            known = found.setdefault(name, [])
            known += [options] if options not in known else []
    return found


def _functions(objects: Collection[tuple[str, Any]]) -> Iterator[tuple[str, Callable[..., Any]]]:
    seen: set[Any] = set()
    for name, found in objects:
        members = _of_class(name, found) if inspect.isclass(found) else [(name, found)]
        for place, function in members:
            original = inspect.unwrap(function) if inspect.isfunction(function) else None
            if original is not None and original not in seen and original.__module__.startswith("fal_async"):
                seen.add(original)
                yield place, original


def _of_class(name: str, kind: type) -> Iterator[tuple[str, Any]]:
    if issubclass(kind, Exception) or getattr(
        kind, "_is_protocol", False
    ):  # the latter is for who implements it
        return
    if not attrs.has(kind):
        yield name, vars(kind).get("__init__")
    for base in kind.__mro__:
        for attribute, member in vars(base).items():
            if attribute.startswith("_"):
                continue
            if isinstance(member, property):
                yield from _of_resource(f"{name}.{attribute}", attribute, member)
            elif isinstance(member, classmethod) and not attrs.has(kind):
                yield f"{name}.{attribute}", member.__func__
            else:
                yield f"{name}.{attribute}", member


def _of_resource(place: str, attribute: str, member: property) -> Iterator[tuple[str, Any]]:
    getter: Any = member.fget
    returned = str(getter.__annotations__.get("return"))
    if returned == attribute.capitalize():
        home = importlib.import_module(_home_of(returned, getter.__module__))
        yield from ((at, found) for at, found in _of_class(place, getattr(home, returned)) if at != place)


def _home_of(name: str, module: str) -> str:
    """Where a module imports a class from, for type checkers alone or not."""
    found = re.search(
        rf"from (fal_async\.[\w.]+) import [\w, ]*\b{name}\b", inspect.getsource(sys.modules[module])
    )
    assert found is not None, f"{module} does not import {name}"
    return found[1]


def _parameters(function: Callable[..., Any]) -> Options:
    return {
        name: Option(
            plain_type(parameter.annotation),
            REQUIRED if parameter.default is parameter.empty else parameter.default,
        )
        for name, parameter in inspect.signature(function).parameters.items()
        if name not in ("self", "cls") and parameter.kind is not parameter.VAR_KEYWORD
    }


def settings(objects: Collection[tuple[str, Any]]) -> dict[str, Options]:
    """Return the options of the attrs classes that users make values of.

    Each class is the type of a parameter, or of a field of such a class, and all its fields have defaults.
    """
    classes = {name: kind for name, kind in objects if inspect.isclass(kind) and attrs.has(kind)}
    every_call = [options for found in calls(objects).values() for options in found]
    named = {word for options in every_call for option in options.values() for word in _words(option.type)}
    for name in sorted(named & classes.keys()):
        named |= {word for option in fields(classes[name]).values() for word in _words(option.type)}
    made = {name: fields(kind) for name, kind in classes.items() if name in named}
    return {
        name: options
        for name, options in made.items()
        if all(option.default is not REQUIRED for option in options.values())
    }


def fields(kind: type) -> Options:
    return {
        field.name: Option(plain_type(field.type), _default(field))
        for field in attrs.fields(kind)
        if field.init and not field.name.startswith("_")
    }


def _default(field: attrs.Attribute[Any]) -> Any:
    factory = getattr(field.default, "factory", None)
    if factory is not None:
        return factory()
    return REQUIRED if field.default is attrs.NOTHING else field.default


def _words(annotation: str) -> set[str]:
    return set(re.findall(r"\w+", annotation))


def plain_type(annotation: Any) -> str:
    """Without the modules of the names: `PathLike[str]` for `os.PathLike[str]`."""
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    return re.sub(r"\b(?:\w+\.)+(?=\w)", "", text)
