"""Modules with the types of the ten shapes, made once for all tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from fal_async.typegen.module_text import module_text
from fal_async.typegen.styles import STYLES
from tests.typegen.documents import schema_of
from tests.typegen.shapes import SHAPES
from tests.typegen.usage import program


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a module of each style, and a program that uses it."""
    folder = tmp_path_factory.mktemp("typed")
    schemas = [schema_of(shape) for shape in SHAPES]
    for style in STYLES:
        text = module_text(schemas, style=style, command=f"fal-async types ... --style {style}")
        (folder / f"shapes_{style}.py").write_text(text)
        (folder / f"use_{style}.py").write_text(program(style))
    return folder
