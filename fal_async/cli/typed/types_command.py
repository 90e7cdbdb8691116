"""Fetches the schemas, and writes or checks the module with their types."""

from __future__ import annotations

import argparse
import asyncio
import shlex
from pathlib import Path

from fal_async.cli import exits
from fal_async.cli.command import run_command
from fal_async.cli.messages import PROGRAM, say
from fal_async.cli.output import put, put_line, put_text
from fal_async.errors import ConfigurationError
from fal_async.session import Session
from fal_async.typegen.differences import differences
from fal_async.typegen.module_text import module_text


def types(options: argparse.Namespace) -> int:
    """Run the verb, and return its exit status."""

    async def work(session: Session) -> int:
        if options.check and options.output is None:
            raise ConfigurationError("--check needs -o FILE, the file that is checked")
        text = await _module(session, options)
        if options.output is None:
            put({"module": text}) if options.json else put_text(text)
            return exits.DONE
        path = Path(options.output)
        return (_check if options.check else _write)(path, text, options)

    return run_command("types", options, work, needs_key=False)


async def _module(session: Session, options: argparse.Namespace) -> str:
    wanted = dict.fromkeys(options.endpoints)
    schemas = await asyncio.gather(*(session.platform.schema(endpoint) for endpoint in wanted))
    ids = " ".join(schema.endpoint_id for schema in schemas)
    file = "" if options.output is None else f" -o {shlex.quote(Path(options.output).name)}"
    command = f"{PROGRAM} types {ids} --style {options.style}{file}"
    return module_text(schemas, style=options.style, command=command)


def _check(path: Path, text: str, options: argparse.Namespace) -> int:
    changes = differences(path.read_text(encoding="utf-8"), text)
    if options.json:
        put({"file": str(path), "current": not changes, "changes": changes})
    else:
        for change in changes:
            put_line(change)
        say(f"{path}: {_count(changes)}" if changes else f"{path}: current")
    return exits.FAILED if changes else exits.DONE


def _write(path: Path, text: str, options: argparse.Namespace) -> int:
    before = path.read_text(encoding="utf-8") if path.exists() else None
    changes = [] if before is None else differences(before, text)
    if before != text:
        path.write_text(text, encoding="utf-8", newline="\n")
    if options.json:
        put({"file": str(path), "written": before != text, "changes": changes})
        return exits.DONE
    for change in changes:
        say(change)
    say(f"{path}: {'unchanged' if before == text else 'written'}")
    return exits.DONE


def _count(changes: list[str]) -> str:
    return f"{len(changes)} change{'s' * (len(changes) > 1)} at fal; run the command without --check to update it"
