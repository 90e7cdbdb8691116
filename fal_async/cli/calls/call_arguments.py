"""Arguments of the verbs that call a model: the input, the options of the call, the output, and the key."""

from __future__ import annotations

import argparse
from typing import Any

from fal_async.cli.argument_types import add_json, seconds

_ITEMS = r"""
An ITEM is one member of the input:
  prompt="a cat"            text
  num_images:=4             JSON
  image_url@cat.png         a file, which is uploaded
  prompt=@prompt.txt        the text of a file
  loras:=@loras.json        the JSON of a file
  'image_size[width]:=512'  a member of an object; 'loras[0][path]=...' of a list
  'a\=b=text'               a \ before : = @ [ ] makes it an ordinary character

One ITEM may also be the whole input: '{"prompt": "a cat"}'.
"""


def add_input(parser: argparse.ArgumentParser) -> None:
    """Add the endpoint and its input."""
    parser.description = "\n".join(filter(None, [parser.description, _ITEMS]))
    add = parser.add_argument
    add("endpoint", metavar="ENDPOINT", help="endpoint id, such as fal-ai/flux/dev")
    add("items", metavar="ITEM", nargs="*", default=[], help="a member of the input")
    add(
        "--input",
        metavar="FILE",
        help="JSON file with the input, or - for standard input; items replace its members",
    )


def add_options(parser: argparse.ArgumentParser, *, queue: bool) -> None:
    """Add the options of the call. `queue`: whether the request goes through fal's queue."""
    add = parser.add_argument
    add(
        "--check",
        choices=("required", "schema", "off"),
        default="required",
        help="compare the input with the endpoint's schema before it is sent: its names (required, the default), "
        "also its values (schema), or nothing (off)",
    )
    add("--hint", metavar="TEXT", help="runners that got the same hint before are preferred")
    if queue:
        add("--priority", choices=("normal", "low"), help="priority in the queue (default: normal)")
    add(
        "--start-timeout",
        type=seconds,
        metavar="SECONDS",
        help="fal gives up if no runner has started after this time (default: no limit)",
    )
    add(
        "--tag",
        type=_tag,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        dest="tags",
        help="billing tag; may be repeated",
    )


def add_output(
    parser: argparse.ArgumentParser, json_help: str = "print the result as one JSON document"
) -> None:
    """Add `--download`, `--json` and `--quiet`."""
    parser.add_argument(
        "--download",
        metavar="FOLDER",
        help="download the files of the result to this folder, and print their names in place of the output",
    )
    add_json(parser, json_help)
    add_quiet(parser)


def add_quiet(parser: argparse.ArgumentParser) -> None:
    """Add `--quiet`."""
    parser.add_argument("-q", "--quiet", action="store_true", help="show no progress, only errors")


def add_timeout(parser: argparse.ArgumentParser) -> None:
    """Add `--timeout`."""
    parser.add_argument(
        "--timeout", type=seconds, metavar="SECONDS", help="time limit of the whole call (default: none)"
    )


def add_key(parser: argparse.ArgumentParser) -> None:
    """Add `--idempotency-key` and `--ledger`."""
    parser.add_argument(
        "--idempotency-key",
        metavar="TEXT",
        help="the same key is the same request, and is paid once, whenever it is called; needs --ledger",
    )
    parser.add_argument(
        "--ledger",
        metavar="LEDGER",
        help="file that stores keyed requests, such as runs.db, or postgresql://...; created if missing",
    )


def wrong_key_arguments(options: argparse.Namespace) -> str | None:
    """Return what is wrong with `--idempotency-key` and `--ledger`; None if they fit."""
    if (options.idempotency_key is None) == (options.ledger is None):
        return None
    return "--idempotency-key and --ledger belong together; expected both or neither"


def call_options(options: argparse.Namespace) -> dict[str, Any]:
    """Return the options of the call that were given, as keyword arguments of the session's methods."""
    given = {name: getattr(options, name, None) for name in ("check", "hint", "priority", "start_timeout")}
    found: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    return found | ({"tags": dict(options.tags)} if options.tags else {})


def _tag(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise argparse.ArgumentTypeError(f"{text!r}: expected NAME=VALUE")
    return name, value


def add_request(parser: argparse.ArgumentParser) -> None:
    """Add the words that name a request."""
    parser.add_argument(
        "request",
        metavar="REQUEST",
        nargs="+",
        help="ENDPOINT and request id, or a handle: its file, its JSON text, or - for standard input",
    )


def add_logs(parser: argparse.ArgumentParser) -> None:
    """Add `--logs`."""
    parser.add_argument("--logs", action="store_true", help="show the log lines of the model")
