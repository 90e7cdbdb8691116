"""Examine this machine, its settings and its way to fal, and print a report for a support thread.

The report has no secrets: never the API key, tokens, or the passwords of proxies. Nothing is billed. Each check
takes a few seconds at most, also without a network.

With --live it then asks fal the questions that only the real service can answer, such as the status codes of polls
and cancels, by a few cheap requests: it says what they cost, asks before it sends them, and ends each of them. It
prints what differs from fal_async/protocol/README.md, as a table to paste.

Exit status: 0 if nothing is wrong (warnings are allowed), 1 for a problem or a difference, 2 wrong usage, or --live
without a terminal and without --yes, 3 for a problem of the API key or the balance, 4 if a request of --live is
uncertain, 130 Ctrl-C.
"""

from __future__ import annotations

import argparse

from fal_async.cli.argument_types import add_json, seconds

EXAMPLES = (
    "fal-async doctor",
    "fal-async doctor --ledger runs.db --json",
    "fal-async doctor --live --yes",
)


def configure(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--ledger", metavar="LEDGER", help="also examine this ledger: a path, or `postgresql://...`")
    add(
        "--live",
        action="store_true",
        help="also ask fal what only it can answer, by requests that are billed",
    )
    add(
        "--endpoint",
        default="fal-ai/flux/schnell",
        metavar="ID",
        help="endpoint of these requests (default: %(default)s)",
    )
    add("--input", metavar="JSON", help="their input (default: a cheap one, known for two cheap endpoints)")
    add(
        "--realtime",
        metavar="ID",
        help="endpoint at which two realtime sessions are opened (default: none is opened)",
    )
    add("--yes", action="store_true", help="send them without asking, for scripts")
    add(
        "--patience",
        type=seconds,
        default=120.0,
        metavar="SECONDS",
        help="how long a request, or its record in the history, is awaited (default: %(default)g)",
    )
    add_json(parser, "print the report as one JSON document")


def run(options: argparse.Namespace) -> int:
    # Imported late: these take a quarter of a second to load, and --help does not need them.
    if options.live:
        from fal_async.cli.doctor.live.live_command import ask_fal

        return ask_fal(options)
    from fal_async.cli.doctor.doctor_command import examine_and_report

    return examine_and_report(options)
