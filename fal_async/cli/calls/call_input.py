"""Reads the input of a call: its items, and the files or the pipe that they name."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fal_async.cli.calls.input_items import Item, build_input, parse_item, parse_json
from fal_async.errors import ConfigurationError


def read_input(options: argparse.Namespace) -> dict[str, Any]:
    """Return the input that the arguments describe. Files to be uploaded are `Path`s in it.

    Raises:
        ConfigurationError: an item or a file is not valid. The message names it.
    """
    whole = [word for word in options.items if word.lstrip().startswith("{")]
    items = [parse_item(word) for word in options.items if word not in whole]
    base = _base(options.input, whole)
    return build_input([(item, _value(item)) for item in items], base)


def make_folder(folder: str) -> None:
    """Make the folder of `--download`, because a call must not be paid for whose files can't be written.

    Raises ConfigurationError if it can't be made or written to.
    """
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"--download: {error.strerror}: {folder}") from None
    if not os.access(folder, os.W_OK):
        raise ConfigurationError(f"--download: expected a folder that can be written to: {folder}")


def read_text(path: str, where: str) -> str:
    """Return the text of a file, or of standard input for `-`.

    Raises:
        ConfigurationError: it can't be read, or is not UTF-8. The message begins with `where`.
    """
    try:
        data = sys.stdin.buffer.read() if path == "-" else Path(path).expanduser().read_bytes()
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigurationError(f"{where}: expected UTF-8: {path}") from None
    except (OSError, ValueError, AttributeError) as error:  # AttributeError: standard input is closed
        reason = error.strerror if isinstance(error, OSError) else "it can't be read"
        raise ConfigurationError(f"{where}: {reason}: {path}") from None


def _base(file: str | None, whole: Sequence[str]) -> dict[str, Any] | None:
    if len(whole) + (file is not None) > 1:
        raise ConfigurationError("the whole input is given twice: expected one JSON object, or --input")
    if whole:
        return _object(whole[0], "the JSON object")
    return None if file is None else _object(read_text(file, "--input"), "--input")


def _object(text: str, where: str) -> dict[str, Any]:
    value = parse_json(text, where)
    if not isinstance(value, dict):
        raise ConfigurationError(f"{where}: expected a JSON object with the members of the input")
    return value


def _value(item: Item) -> Any:
    if item.separator == "=":
        return item.value
    if item.separator == ":=":
        return parse_json(item.value, f"{item.name} (for text, write {item.name}=...)")
    if item.separator == "@":
        return _file(item)
    text = read_text(item.value, f"{item.name}{item.separator}")
    return text if item.separator == "=@" else parse_json(text, f"{item.name}:=@")


def _file(item: Item) -> Path:
    path = Path(item.value).expanduser()
    if not path.exists():
        raise ConfigurationError(
            f"{item.name}@: no such file: {item.value} (for text, write {item.name}=...)"
        )
    if path.is_dir():
        raise ConfigurationError(f"{item.name}@: expected a file, but it is a folder: {item.value}")
    return path
