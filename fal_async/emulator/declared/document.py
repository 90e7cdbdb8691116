"""Reads documents of endpoints, and registers the endpoints."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from fal_async.emulator.accounts.prices import UNIT, price_of
from fal_async.emulator.declared.declared_model import MODEL_KEYS, DeclaredModel, read_model
from fal_async.emulator.declared.placed_values import DocumentError, Placed
from fal_async.emulator.jobs.endpoints import check_endpoint_id
from fal_async.emulator.jobs.polls import Polls
from fal_async.emulator.registration import Registration
from fal_async.emulator.schemas.input_check import require
from fal_async.emulator.schemas.model_document import read_document as read_schemas
from fal_async.emulator.schemas.sample_model import SampleModel
from fal_async.emulator.workflows.definition import read_definition
from fal_async.emulator.workflows.workflow_endpoint import check_workflow_id

_OPTIONS: Mapping[str, Any] = {
    "runners": lambda given: given.whole(least=1),
    "public": Placed.truth,
    "ignores_cancel": Placed.truth,
    "polls": lambda given: Polls(
        **{name: count.whole() for name, count in given.table(attrs.fields_dict(Polls)).items()}
    ),
    "billable_units": Placed.number,
    "price": lambda given: given.text() if isinstance(given.value, str) else given.number(),
    "unit": Placed.text,
    "metadata": lambda given: {name: member.value for name, member in given.table().items()},
}
"""The options of `Emulator.endpoint` that a document has, and how each is read."""


_UNQUOTED = re.compile(r"^\[+endpoints\.([\w./-]*/[\w/-]*)[\w./-]*\]", re.M)


@attrs.frozen
class Declared:
    """One endpoint of a document."""

    endpoint_id: str
    model: DeclaredModel
    options: Mapping[str, Any]
    document: Mapping[str, Any]
    """Its table, as it was given."""

    def register(self, registration: Registration) -> None:
        """Serve the endpoint."""
        registration.endpoint(self.endpoint_id, **self.options)(self.model.function())


@attrs.frozen
class DeclaredWorkflow:
    """One workflow of a document."""

    workflow_id: str
    contents: Mapping[str, Any]

    def register(self, registration: Registration) -> None:
        """Serve the workflow."""
        registration.workflow(self.workflow_id, self.contents)


def read_file(path: Path) -> list[Declared | DeclaredWorkflow]:
    """Return the endpoints and workflows of a file: TOML, or JSON if its name ends in `.json`.

    Raises:
        DocumentError: If something in it is wrong.
        OSError: If it can't be read.
    """
    data = path.read_bytes()
    try:
        document = json.loads(data) if path.suffix.lower() == ".json" else tomllib.loads(data.decode())
    except ValueError as error:
        unquoted = _UNQUOTED.search(data.decode(errors="replace"))
        hint = "" if unquoted is None else f'; an id is quoted: [endpoints."{unquoted[1]}"]'
        raise DocumentError(f"{path}: {error}{hint}") from error
    workflows = document.pop("workflows", None) if isinstance(document, dict) else None
    if workflows is None:
        return [*read_document(document, str(path), path.parent)]
    endpoints = read_document(document, str(path), path.parent) if document else []
    given = Placed(workflows, f"{path}: workflows").table()
    return [*endpoints, *(_workflow(name, one, path.parent) for name, one in given.items())]


def read_document(document: Any, name: str, folder: Path | None) -> list[Declared]:
    """Return the endpoints of `{"endpoints": {id: table}}`.

    Args:
        document: the document.
        name: what messages call it.
        folder: where the files are that it names. None: it may not name files.

    Raises:
        DocumentError: If something in it is wrong.
    """
    top = Placed(document, name).table(("endpoints",))
    if "endpoints" not in top:
        raise DocumentError(f'{name}: expected a table "endpoints", such as [endpoints."me/poet"]')
    endpoints = Placed(top["endpoints"].value, f"{name}: endpoints")
    return [_declared(endpoint_id, given, folder) for endpoint_id, given in endpoints.table().items()]


def _workflow(workflow_id: str, given: Placed, folder: Path) -> DeclaredWorkflow:
    """Return a workflow: its definition, or the content of a JSON file with it."""
    contents = _json_file(given, folder)
    try:
        check_workflow_id(workflow_id)
        read_definition(contents)
    except ValueError as error:
        raise DocumentError(f"{given.place}: {error}") from error
    return DeclaredWorkflow(workflow_id, contents)


def _declared(endpoint_id: str, given: Placed, folder: Path | None) -> Declared:
    members = given.table((*MODEL_KEYS, *_OPTIONS, "openapi"))
    options = {name: read(members[name]) for name, read in _OPTIONS.items() if name in members}
    sample = None
    try:
        check_endpoint_id(endpoint_id)
        price_of(options.get("price", 0), options.get("unit", UNIT))
        if "openapi" in members:
            require("jsonschema", "openapi")
            options["openapi"] = _openapi(members["openapi"], folder)
            schemas = read_schemas(options["openapi"], endpoint_id)
            sample = SampleModel(schemas, 0)
    except (ValueError, ModuleNotFoundError) as error:
        raise DocumentError(f"{given.place}: {error}") from error
    return Declared(endpoint_id, read_model(members, folder, sample), options, given.value)


def _openapi(given: Placed, folder: Path | None) -> Mapping[str, Any]:
    """Return the OpenAPI document of a model: a table, or the content of a JSON file."""
    if isinstance(given.value, dict):
        return given.value
    if folder is None:
        raise given.wrong(
            "expected the document itself, since files can only be named in a file of endpoints"
        )
    return _json_file(given, folder)


def _json_file(given: Placed, folder: Path) -> Mapping[str, Any]:
    """Return a table, or the content of the JSON file that a text names."""
    if isinstance(given.value, dict):
        return given.value
    path = folder / given.text()
    try:
        document = Placed(json.loads(path.read_bytes()), str(path))
    except (OSError, ValueError) as error:
        raise DocumentError(f"{given.place}: {path}: {error}") from error
    document.table()
    return dict(document.value)
