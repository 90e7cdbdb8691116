"""The reference has the options, settings, errors, variables and verbs of the code, and no others."""

from __future__ import annotations

import argparse
import ast
import importlib
import inspect
import re
import tomllib
import typing
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import attrs
import pytest

import fal_async
import fal_async.emulator
from fal_async.cli import exits, interrupts
from fal_async.cli.verbs import leaves
from fal_async.emulator import Fault
from fal_async.errors import CancelOutcome, FalError
from fal_async.options import CallOptions, RunOptions
from fal_async.protocol.options import option_headers, submit_query
from tests.documents.public_options import (
    PACKAGE,
    REQUIRED,
    Option,
    Options,
    calls,
    fields,
    public_objects,
    settings,
)

ROOT = PACKAGE.parent
REFERENCE = PACKAGE / "REFERENCE.md"
OBJECTS = list(public_objects([ROOT / "README.md", *PACKAGE.rglob("*.md")]))
CALLS, SETTINGS = calls(OBJECTS), settings(OBJECTS)
_ROW = re.compile(r"(?<!\\)\|")
_SPAN = re.compile(r"`([^`]+)`")
Row = dict[str, str]


@attrs.frozen
class Table:
    """One table: the code spans of its heading, and its rows by the names of the columns."""

    names: list[str]
    rows: list[Row]

    @property
    def columns(self) -> list[str]:
        return list(self.rows[0])


def tables(text: str) -> Iterator[Table]:
    names: list[str] = []
    for block in re.split(r"\n\n+", text):
        if heading := re.match(r"#+ (.+)", block):
            names = _SPAN.findall(heading[1])
        if block.startswith("|"):
            head, _, *lines = [_cells(line) for line in block.splitlines()]
            yield Table(names, [dict(zip(head, cells, strict=True)) for cells in lines])


def _cells(line: str) -> list[str]:
    return [cell.strip().replace(r"\|", "|") for cell in _ROW.split(line.strip())[1:-1]]


TABLES = list(tables(REFERENCE.read_text(encoding="utf-8")))


def the_table(*columns: str) -> list[Row]:
    (found,) = [table.rows for table in TABLES if table.columns == list(columns)]
    return found


def span(cell: str) -> str:
    (found,) = _SPAN.findall(cell)
    return str(found)


def documented_calls() -> dict[str, list[Row]]:
    """The rows of each call or settings class: under a heading of its name, or in a table of several."""
    found: dict[str, list[Row]] = {}
    for table in TABLES:
        if table.columns == ["option", "type", "default", "meaning"]:
            found |= dict.fromkeys(table.names, table.rows)
        if "call" in table.columns:
            for row in table.rows:
                found.setdefault(span(row["call"]), []).append(row)
    return found


DOCUMENTED = documented_calls()


def differences(rows: Collection[Row], options: Options) -> list[str]:
    """Rows without an option, options without a row, and what is said of one otherwise than the code has it."""
    said = {span(row["option"]): row for row in rows}
    return [
        *(f"{name}: no such option" for name in said if name not in options),
        *(f"{name}: not in the reference" for name in options if name not in said),
        *(wrong for name in options if name in said for wrong in wrong_of(name, said[name], options[name])),
    ]


def wrong_of(name: str, row: Row, option: Option) -> Iterator[str]:
    if span(row["type"]) != option.type:
        yield f"{name}: {option.type} in the code, {row['type']} in the reference"
    if not is_default(row["default"], option.default):
        yield f"{name}: {option.default!r} by default, {row['default']} in the reference"
    if len(row["meaning"]) < 5:
        yield f"{name}: has no meaning"


def is_default(cell: str, default: Any) -> bool:
    if default is REQUIRED or cell == REQUIRED:
        return bool(default == cell)
    if callable(default):
        return bool(span(cell).rpartition(".")[2] == default.__name__)
    return bool(ast.literal_eval(span(cell)) == default)


# Options and settings.


@pytest.mark.parametrize("name", CALLS)
def test_every_option_of_a_call_is_in_the_reference(name: str) -> None:
    assert name in DOCUMENTED, f"{name} has options and no table: {list(CALLS[name][0])}"
    for options in CALLS[name]:
        assert differences(DOCUMENTED[name], options) == []


@pytest.mark.parametrize("name", SETTINGS)
def test_every_field_of_a_settings_class_is_in_the_reference(name: str) -> None:
    assert name in DOCUMENTED, f"{name} is the type of an option, and has no table"


def test_the_reference_has_no_call_that_the_code_lacks() -> None:
    classes = {name: kind for name, kind in OBJECTS if inspect.isclass(kind) and attrs.has(kind)}
    assert len(DOCUMENTED) > 70
    assert [name for name in DOCUMENTED if name not in CALLS and name not in classes] == []
    for name in DOCUMENTED.keys() & classes.keys() - CALLS.keys():
        assert differences(DOCUMENTED[name], fields(classes[name])) == []


def test_the_options_of_a_call_are_those_of_the_code_and_are_sent_as_it_says() -> None:
    rows = the_table("option", "type", "default", "calls", "sent as", "meaning")
    assert differences(rows, fields(CallOptions)) == []
    for row in rows:
        name = span(row["option"])
        assert row["calls"] == ("all" if name in RunOptions.__annotations__ else "queue"), name
        if name == "headers":  # they are sent as they stand
            continue
        assert set(_SPAN.findall(row["sent as"])) == sent_as(name), name


def sent_as(name: str) -> set[str]:
    """The headers and query parameters that a value of this option adds to a submit."""
    options = CallOptions(**{name: a_value_of(name)})
    without, given = (option_headers(some, {}, queue=True) for some in (CallOptions(), options))
    return {header for header in given if header not in without} | set(
        re.findall(r"(\w+)=", submit_query(options, None))
    )


def a_value_of(name: str) -> Any:
    kind = typing.get_type_hints(CallOptions)[name]
    first = next(part for part in typing.get_args(kind) if part is not type(None))
    if typing.get_origin(first) is typing.Literal:
        return typing.get_args(first)[0]
    samples: dict[Any, Any] = {str: "sample", float: 5.0, bool: True, int: 1}
    return samples[first] if first in samples else {"sample": "1"} if typing.get_args(first) else first()


def test_every_constructor_of_a_fault_is_in_the_reference() -> None:
    rows = the_table("constructor", "takes", "what goes wrong")
    said = {span(row["constructor"]): set(_SPAN.findall(row["takes"])) for row in rows}
    made = {
        f"Fault.{name}": set(inspect.signature(getattr(Fault, name)).parameters) - {"when"}
        for name, member in vars(Fault).items()
        if isinstance(member, classmethod) and name != "from_json"
    }
    assert said == made
    assert all(row["what goes wrong"] for row in rows)


# Errors.

ERRORS = {
    name: kind
    for name in fal_async.__all__
    if inspect.isclass(kind := getattr(fal_async, name)) and issubclass(kind, FalError)
}


def test_every_error_is_in_the_reference_with_its_bases_and_attributes() -> None:
    rows = the_table("error", "is a", "raised when", "carries", "retryable", "what to do")
    assert {span(row["error"]) for row in rows} == ERRORS.keys()
    for row in rows:
        kind = ERRORS[span(row["error"])]
        assert _SPAN.findall(row["is a"]) == [base.__name__ for base in kind.__bases__], kind
        assert set(_SPAN.findall(row["carries"])) == own_attributes(kind), kind
        assert row["retryable"] == ("yes" if kind.retryable else "no"), kind
        assert row["raised when"], kind
        assert row["what to do"] or kind is FalError, kind


def own_attributes(kind: type[FalError]) -> set[str]:
    if kind is FalError or "__init__" not in vars(kind):
        return set()
    parameters = inspect.signature(kind.__init__).parameters.values()
    return {parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY}


def test_the_attributes_of_every_error_are_in_the_reference() -> None:
    rows = the_table("attribute", "type", "meaning")
    assert {span(row["attribute"]) for row in rows} == {
        name for name in {*vars(FalError("message")), *FalError.__annotations__} if not name.startswith("_")
    }


def test_every_outcome_of_a_cancel_is_in_the_reference() -> None:
    assert [span(row["outcome"]) for row in the_table("outcome", "meaning")] == list(CancelOutcome)


# Environment variables.

_VARIABLE = re.compile(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+")


def variables_of(source: str, module: ModuleType | None = None) -> set[str]:
    """Return the names of environment variables in a module that reads the environment.

    These are its constants in capitals, and the imported names of such constants that it looks up.
    """
    tree = ast.parse(source)
    if not any(
        isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv") for node in ast.walk(tree)
    ):
        return set()
    texts = {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    named = {
        getattr(importlib.import_module(node.module), alias.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
        if _VARIABLE.fullmatch(alias.name)
    }
    return {text for text in texts | named if isinstance(text, str) and _VARIABLE.fullmatch(text)}


def test_every_environment_variable_is_in_the_reference() -> None:
    read: set[str] = set()
    for path in PACKAGE.rglob("*.py"):
        read |= variables_of(path.read_text(encoding="utf-8"))
    rows = the_table("variable", "read by", "default", "meaning")
    assert {span(row["variable"]) for row in rows} == read
    assert all(row["read by"] and row["default"] and row["meaning"] for row in rows)


@pytest.mark.parametrize(
    ("source", "read"),
    [
        ("import os\nos.environ.get('SOME_NAME')\n", {"SOME_NAME"}),
        ("import os\nNAME = 'SOME_NAME'\nos.getenv(NAME)\n", {"SOME_NAME"}),
        (
            "import os\nfrom fal_async.cli.proxy_app import TOKEN_VARIABLE\nos.environ[TOKEN_VARIABLE]\n",
            {"FAL_PROXY_TOKEN"},
        ),
        ("NAME = 'IN_QUEUE'\n", set()),
    ],
)
def test_a_variable_that_a_module_reads_is_found(source: str, read: set[str]) -> None:
    assert variables_of(source) == read


# The command line.


def parsers() -> dict[str, argparse.ArgumentParser]:
    """The parser of each verb, and of each part of a verb that has parts."""
    found = {}
    for name, module in leaves():
        found[f"fal-async {name}"] = argparse.ArgumentParser(add_help=False)
        module.configure(found[f"fal-async {name}"])
    return found


def arguments_of(parser: argparse.ArgumentParser) -> Mapping[str, argparse.Action]:
    return {
        name: action
        for action in parser._actions
        for name in action.option_strings or [str(action.metavar or action.dest)]
    }


@pytest.mark.parametrize("verb", parsers())
def test_every_argument_of_a_verb_is_in_the_reference(verb: str) -> None:
    (rows,) = [table.rows for table in TABLES if table.names == [verb]]
    said = {name: row for row in rows for name in _SPAN.findall(row["argument"])}
    arguments = arguments_of(parsers()[verb])
    assert said.keys() == arguments.keys()
    for name, action in arguments.items():
        default = str(action.default) if isinstance(action.default, Path) else action.default
        assert is_default(said[name]["default"], REQUIRED if action.required else default), name
        assert len(said[name]["meaning"]) > 5, name
        for choice in action.choices or ():
            assert f"`{choice}`" in said[name]["meaning"], name


def test_the_reference_has_no_verb_that_the_command_line_lacks() -> None:
    assert {
        name for table in TABLES for name in table.names if name.startswith("fal-async ")
    } == parsers().keys()


def test_every_exit_status_is_in_the_reference() -> None:
    used = {value for value in vars(exits).values() if isinstance(value, int)}
    used |= {128 + number for number in interrupts._SIGNALS}
    assert {int(row["status"]) for row in the_table("status", "meaning")} == used


# Extras.


def test_every_extra_is_in_the_reference_with_its_packages() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras: dict[str, list[str]] = project["optional-dependencies"]
    rows = {span(row["extra"]): row for row in the_table("extra", "installs", "for")}
    assert rows.keys() == extras.keys()
    for name in extras.keys() - {"all"}:
        assert rows[name]["installs"].split(", ") == [re.split(r"[\[>]", one)[0] for one in extras[name]]
        assert rows[name]["for"], name


# Planted: the comparison notices what is wrong.

OPTIONS = {"size": Option("int | None", 4), "name": Option("str", REQUIRED)}
RIGHT = """| option | type | default | meaning |
|---|---|---|---|
| `size` | `int \\| None` | `4` | bytes of it |
| `name` | `str` | required | what it is called |
"""


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("| `4` |", "| `5` |", "size: 4 by default, `5` in the reference"),
        ("int \\| None", "int", "size: int | None in the code, `int` in the reference"),
        ("| required |", "| `None` |", "name: 'required' by default, `None` in the reference"),
        ("| `4` |", "| required |", "size: 4 by default, required in the reference"),
        ("`name`", "`nome`", "nome: no such option"),
        ("bytes of it", "", "size: has no meaning"),
    ],
)
def test_a_row_that_differs_from_the_code_is_named(old: str, new: str, told: str) -> None:
    (right,) = tables(RIGHT)
    assert differences(right.rows, OPTIONS) == []
    (wrong,) = tables(RIGHT.replace(old, new))
    assert told in differences(wrong.rows, OPTIONS)
    assert differences(right.rows[:1], OPTIONS) == ["name: not in the reference"]
