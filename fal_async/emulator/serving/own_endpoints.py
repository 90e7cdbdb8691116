"""`--app [ID=]module:name` and `--endpoints FILE`: endpoints of one's own, in Python or declared in a document."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from fal_async.emulator.declared.document import read_file
from fal_async.emulator.server import Emulator

FORM = "expected [ID=]module:name, such as shop:endpoints or me/my-app=shop.main:app"


def add_app(emulator: Emulator, text: str) -> None:
    """Add what `text` names: a function that takes the emulator is called, an ASGI application is mounted.

    The current folder is searched for the module as well.

    Args:
        emulator: the emulator, which is not started yet.
        text: `module:name` of a function, or `ID=module:name` of an ASGI application.

    Raises:
        ValueError: If there is no such module or name, or it is neither of the two.
        ModuleNotFoundError: If it is an ASGI application, and uvicorn is missing.
    """
    app_id, _, place = text.rpartition("=")
    module_name, _, name = place.partition(":")
    if not module_name or not name:
        raise ValueError(f"--app {text}: {FORM}")
    found = _found(_module(module_name, text), name, text)
    if app_id:
        try:
            emulator.mount(app_id, found)
        except (TypeError, ValueError) as error:
            raise ValueError(f"--app {text}: {error}") from error
    else:
        _call(found, emulator, text)


def add_declared(emulator: Emulator, path: Path) -> None:
    """Add the endpoints of a file, which `fal_async/emulator/ENDPOINTS.md` describes.

    Args:
        emulator: the emulator.
        path: a TOML file, or a JSON file.

    Raises:
        ValueError: If the file can't be read, or something in it is wrong.
    """
    try:
        declared = read_file(path)
    except OSError as error:
        raise ValueError(f"--endpoints {path}: {error.strerror or error}") from error
    for each in declared:
        each.register(emulator)


def _module(name: str, text: str) -> ModuleType:
    if (here := os.getcwd()) not in sys.path:
        sys.path.insert(0, here)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise ValueError(f"--app {text}: {name} imports {error.name}, which is not installed") from error
        where = f"neither in {here} nor among the installed packages"
        raise ValueError(f"--app {text}: there is no module {error.name}, {where}") from error
    except Exception as error:
        raise ValueError(f"--app {text}: importing {name} raised {type(error).__name__}: {error}") from error


def _found(module: ModuleType, name: str, text: str) -> Any:
    found: Any = module
    for part in name.split("."):
        if not hasattr(found, part):
            import difflib

            close = difflib.get_close_matches(part, [each for each in vars(found) if each[0] != "_"], n=1)
            hint = f": did you mean {close[0]}?" if close else ""
            raise ValueError(f"--app {text}: {module.__name__} has no {part}{hint}")
        found = getattr(found, part)
    return found


def _call(function: Any, emulator: Emulator, text: str) -> None:
    count = _positional(function)
    if count in (2, 3):  # of ASGI 2 and 3
        raise ValueError(f"--app {text}: an ASGI application needs an id: --app me/my-app={text}")
    if count != 1 or inspect.iscoroutinefunction(function):
        raise ValueError(f"--app {text}: expected a function that takes the emulator, or an ASGI application")
    function(emulator)


def _positional(function: Any) -> int:
    """Return how many positional arguments a callable takes; 0 if it can't be called."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return 0
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(each.kind in kinds for each in parameters)
