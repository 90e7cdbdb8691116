"""The public names: one list, and each is loaded on first use."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import fal_async

SOURCE = Path(fal_async.__file__).read_text()


def test_all_is_sorted_and_has_no_duplicates() -> None:
    assert fal_async.__all__ == sorted(set(fal_async.__all__))


@pytest.mark.parametrize("name", fal_async.__all__)
def test_each_public_name_can_be_imported(name: str) -> None:
    namespace: dict[str, object] = {}
    exec(f"from fal_async import {name}", namespace)
    assert namespace[name] is getattr(fal_async, name)


def test_the_table_of_lazy_names_has_exactly_the_public_names() -> None:
    homes = fal_async._HOMES
    assert sorted([*(name for names in homes.values() for name in names), "__version__"]) == fal_async.__all__
    for home, names in homes.items():
        module = importlib.import_module(f"fal_async.{home}")
        assert [name for name in names if not hasattr(module, name)] == []


def test_type_checkers_see_the_public_names_from_the_same_modules() -> None:
    block = next(
        node
        for node in ast.parse(SOURCE).body
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node)
    )
    seen = {
        alias.asname or alias.name: (node.module or "").removeprefix("fal_async.")
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == fal_async._HOME_OF


def test_dir_lists_every_public_name_and_an_unknown_name_raises() -> None:
    assert set(fal_async.__all__) <= set(dir(fal_async))
    with pytest.raises(AttributeError, match="no attribute 'Sesion'"):
        _ = fal_async.Sesion
    with pytest.raises(ImportError):
        exec("from fal_async import Sesion")


def loaded_after(statement: str) -> set[str]:
    """Return the modules that a new interpreter loads for a statement."""
    program = f"import sys; before = set(sys.modules); {statement}; print(*(set(sys.modules) - before))"
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    return set(done.stdout.split())


def test_importing_the_package_loads_only_a_few_modules() -> None:
    loaded = loaded_after("import fal_async")
    assert {name for name in loaded if name.startswith("fal_async")} == {"fal_async", "fal_async.version"}
    heavy = {"aiohttp", "attrs", "attr", "cattrs", "asyncio", "backoff", "yarl", "ssl", "json"}
    assert loaded & heavy == set()


def test_importing_values_does_not_load_aiohttp() -> None:
    loaded = loaded_after("from fal_async import CallOptions, FalError, Hosts, Result")
    assert loaded & {"aiohttp", "asyncio", "backoff", "cattrs", "yarl"} == set()


@pytest.mark.parametrize("folder", ["platform", "realtime", "storage", "webhooks"])
def test_a_folder_exports_the_names_of_its_all(folder: str) -> None:
    module = importlib.import_module(f"fal_async.{folder}")
    assert module.__doc__
    assert module.__all__ == sorted(set(module.__all__))
    for name in module.__all__:
        assert getattr(module, name) is getattr(fal_async, name, getattr(module, name))
    with pytest.raises(AttributeError, match="no attribute 'Sesion'"):
        _ = module.Sesion


def test_pure_modules_do_not_load_asyncio() -> None:
    loaded = loaded_after("from fal_async import Claim, encode")
    assert loaded & {"aiohttp", "asyncio"} == set()
