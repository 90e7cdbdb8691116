"""Runs `schema` with parsed arguments: the members of an endpoint's input and output, as tables."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence

from fal_async.cli import exits
from fal_async.cli.command import run_command
from fal_async.cli.output import put, put_line
from fal_async.cli.platform.tables import put_table
from fal_async.cli.screen import bold, printable
from fal_async.protocol.schemas.schema_fields import SchemaField
from fal_async.session import Session

_MOST_WORDS = 8
"""Number of allowed values that are listed."""


def schema(options: argparse.Namespace) -> int:
    """Print the schema of an endpoint. Return the exit status."""
    return run_command("schema", options, lambda fal: _schema(fal, options), needs_key=False)


async def _schema(fal: Session, options: argparse.Namespace) -> int:
    found = await fal.platform.schema(options.endpoint)
    if options.json:
        put({"endpoint_id": found.endpoint_id, "input": found.input, "output": found.output})
        return exits.DONE
    about = [text for text in (found.endpoint_id, found.category, found.playground_url) if text]
    put_line(printable("  ".join(about)))
    _put_fields("input", found.input_fields())
    _put_fields("output", found.output_fields())
    return exits.DONE


def _put_fields(what: str, fields: Sequence[SchemaField]) -> None:
    put_line("")
    if not fields:
        put_line(f"fal does not say what the {what} has")
        return
    rows = [(field.name, _type(field), _default(field), _about(field)) for field in fields]
    put_line(bold(what))
    put_table(("MEMBER", "TYPE", "DEFAULT", "MEANING"), rows)


def _type(field: SchemaField) -> str:
    kind = f"{field.type} ({field.file})" if field.file else field.type
    return f"{kind} | None" if field.nullable else kind


def _default(field: SchemaField) -> str:
    if field.required:
        return "required"
    return json.dumps(field.default, ensure_ascii=False) if field.has_default else ""


def _about(field: SchemaField) -> str:
    values = field.choices or field.suggestions
    listed = ", ".join(json.dumps(value, ensure_ascii=False) for value in values[:_MOST_WORDS])
    more = ", ..." if len(values) > _MOST_WORDS else ""
    parts = [field.description, field.limits_text(), f"one of {listed}{more}" if values else ""]
    return "; ".join(part.rstrip(".") for part in parts if part)
