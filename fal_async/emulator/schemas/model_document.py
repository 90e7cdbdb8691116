"""A model's OpenAPI document, as fal publishes it for each endpoint (protocol 11.6)."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs

from fal_async.emulator.schemas.normal_schema import normal_schema

Document = Mapping[str, Any] | str | os.PathLike[str]
"""An OpenAPI document or `{"endpoint_id", "input", "output"}`, or the path of a JSON file with one of them."""
_RESULT = "/requests/{request_id}"


@attrs.frozen(kw_only=True)
class ModelDocument:
    """What a document says about its endpoint."""

    endpoint_id: str
    input: Mapping[str, Any]
    """A normal schema, as `output`."""
    output: Mapping[str, Any]
    whole: Mapping[str, Any] | None
    """The OpenAPI document, with the paths of `endpoint_id`; None if it was only the two schemas."""
    metadata: Mapping[str, Any] = attrs.field(factory=dict)
    """For the platform's list of models (protocol 11.1)."""


def read_document(document: Document, endpoint_id: str | None = None) -> ModelDocument:
    """Read the document of a model.

    Args:
        document: fal's OpenAPI document; or `{"endpoint_id", "input", "output"}` with two JSON schemas, as
            `fal-async schema ID --json` prints; or the path of a JSON file with one of them.
        endpoint_id: the id under which the model is served. None (default): the document's own.

    Raises:
        OSError: If the file can't be read.
        ValueError: If it is neither of them, if an OpenAPI document has not exactly one endpoint that takes JSON,
            or if a schema in it is too large.
    """
    source = "the document" if isinstance(document, Mapping) else os.fspath(document)
    try:
        read = document if isinstance(document, Mapping) else _file(Path(document))
        return _of_schemas(read, endpoint_id) if "paths" not in read else _of_openapi(read, endpoint_id)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from error


def _of_schemas(document: Mapping[str, Any], endpoint_id: str | None) -> ModelDocument:
    found = endpoint_id or document.get("endpoint_id")
    if not isinstance(found, str) or not {"input", "output"} & document.keys():
        raise ValueError("it has neither the `paths` of OpenAPI, nor `endpoint_id`, `input` and `output`")
    input, output = (normal_schema(document.get(name), document) for name in ("input", "output"))
    return ModelDocument(endpoint_id=found, input=input, output=output, whole=None)


def _of_openapi(document: Mapping[str, Any], endpoint_id: str | None) -> ModelDocument:
    paths = {path: item for path, item in _mapping(document, "paths").items() if isinstance(path, str)}
    own_id, path = _endpoint(document, paths)
    return ModelDocument(
        endpoint_id=endpoint_id or own_id,
        input=normal_schema(_taken(paths[path]), document),
        output=normal_schema(_output(paths, path), document),
        whole=_renamed(document, path.strip("/"), endpoint_id or own_id),
        metadata=_metadata(document),
    )


def _file(path: Path) -> Mapping[str, Any]:
    try:
        document = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"it is not JSON ({error})") from error
    if not isinstance(document, Mapping):
        raise ValueError("it is not a JSON object")
    return document


def _endpoint(document: Mapping[str, Any], paths: Mapping[str, Any]) -> tuple[str, str]:
    """Return the id and the path of the endpoint. The document of an alias has the path of another id (11.6)."""
    takers = [path for path, item in paths.items() if _taken(item) is not None]
    if not takers:
        raise ValueError("no path has a POST with a JSON body, as `/{endpoint id}` of fal's documents has")
    named = _mapping(_mapping(document, "info"), "x-fal-metadata").get("endpointId")
    path = next((path for path in takers if path.strip("/") == named), takers[0])
    if len(takers) > 1 and path.strip("/") != named:
        raise ValueError(f"several paths have a POST with a JSON body: {', '.join(takers)[:100]}")
    return (named if isinstance(named, str) else path.strip("/")), path


def _taken(item: Any) -> Any:
    """Return the schema of the JSON that can be posted to a path; None if none can be."""
    return _json_body(_mapping(_mapping(item, "post"), "requestBody"))


def _output(paths: Mapping[str, Any], path: str) -> Any:
    """Return the schema of the result: of the queue's result, else of the direct answer; None if there is none."""
    others = [item for name, item in paths.items() if name.endswith(_RESULT)]
    answers = [_mapping(item, "get") for item in (paths.get(path.rstrip("/") + _RESULT), *others)]
    answers.append(_mapping(paths[path], "post"))
    found = (_json_body(_mapping(answer, "responses").get("200")) for answer in answers)
    return next((schema for schema in found if schema is not None), None)


def _json_body(part: Any) -> Any:
    return _mapping(_mapping(part, "content"), "application/json").get("schema")


def _metadata(document: Mapping[str, Any]) -> dict[str, Any]:
    info = _mapping(document, "info")
    about = _mapping(info, "x-fal-metadata")
    told = {"category": about.get("category"), "thumbnail_url": about.get("thumbnailUrl")} | {
        "description": info.get("description")
    }
    return {name: value for name, value in told.items() if isinstance(value, str) and value}


def _renamed(document: Mapping[str, Any], own_id: str, endpoint_id: str) -> Mapping[str, Any]:
    """Return the document with the paths and the name of another endpoint id."""
    if own_id == endpoint_id:
        return document
    info = _mapping(document, "info")
    metadata = {**_mapping(info, "x-fal-metadata"), "endpointId": endpoint_id}
    return {
        **document,
        "info": {**info, "x-fal-metadata": metadata},
        "paths": dict(_renamed_paths(document["paths"], own_id, endpoint_id)),
    }


def _renamed_paths(paths: Mapping[str, Any], own_id: str, endpoint_id: str) -> Iterator[tuple[str, Any]]:
    for path, item in paths.items():
        within = path.strip("/") == own_id or path.startswith(f"/{own_id}/")
        yield (f"/{endpoint_id}{path.removeprefix(f'/{own_id}')}" if within else path), item


def _mapping(value: Any, name: str) -> Mapping[str, Any]:
    found = value.get(name) if isinstance(value, Mapping) else None
    return found if isinstance(found, Mapping) else {}
