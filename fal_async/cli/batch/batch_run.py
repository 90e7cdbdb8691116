"""Send the inputs in a file to an endpoint, and pay for each once.

INPUTS is a file of JSON lines (.jsonl), CSV (.csv) or Parquet (.parquet), or - for JSON lines from standard
input. The same command continues a run where it stopped. Ctrl-C stops the run: requests in the queue are
cancelled, running ones are left to the next start. A second Ctrl-C exits at once. The API key comes from FAL_KEY.

Exit status: 0 done, 1 some inputs failed, 2 wrong usage, 3 wrong credentials or empty balance, 4 some requests
are uncertain, 5 stopped by --max-failures, 130 Ctrl-C.
"""

from __future__ import annotations

import argparse

from fal_async.cli import argument_types
from fal_async.cli.batch import shared_arguments as arguments

EXAMPLES = ("fal-async batch run fal-ai/flux/schnell prompts.jsonl --ledger runs.db --download out/",)


def configure(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("endpoint", metavar="ENDPOINT", help="endpoint id, such as fal-ai/flux/schnell")
    add(
        "inputs",
        metavar="INPUTS",
        help="file with the suffix .jsonl, .csv or .parquet, or - for standard input",
    )
    arguments.add_ledger(parser, must_exist=False)
    arguments.add_run(parser, "the endpoint id; under another name everything is paid for again")
    add(
        "--key-column",
        metavar="NAME",
        help="column with the key of each input (default: the key is derived from the input)",
    )
    add("--columns", type=argument_types.names, metavar="A,B,...", help="columns to send (default: all)")
    add("--download", metavar="FOLDER", help="download the files of the results to this folder")
    add("--names", metavar="TEMPLATE", help='names of these files (default: "{key}-{n}{ext}")')
    arguments.add_json(parser)
    add(
        "--progress",
        action=argparse.BooleanOptionalAction,
        help="show progress on standard error (default: if that is a terminal)",
    )
    _configure_limits(parser)


def _configure_limits(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    default = "(default: %(default)s)"
    add(
        "--concurrency",
        type=argument_types.at_least_one,
        default=40,
        help=f"maximum number of requests in flight {default}",
    )
    add(
        "--retries",
        type=argument_types.count,
        default=2,
        help=f"further attempts of an input after a temporary failure {default}",
    )
    add(
        "--timeout",
        type=argument_types.seconds,
        metavar="SECONDS",
        help="time limit of one request, from when it begins to run (default: none)",
    )
    add(
        "--max-failures",
        type=arguments.failures,
        metavar="N|P%",
        help="stop when more than N inputs, or P%% of them, have failed (default: no limit)",
    )
    add(
        "--max-cost",
        type=argument_types.amount,
        metavar="AMOUNT",
        help="submit nothing that could make the run cost more than AMOUNT US dollars, by list price (default: no "
        "limit)",
    )
    _configure_decisions(parser)


def _configure_decisions(parser: argparse.ArgumentParser) -> None:
    """Add the arguments about inputs and requests of earlier starts."""
    add = parser.add_argument
    add(
        "--retry-failed",
        action="store_true",
        help="submit inputs that failed before, and pay for them, again",
    )
    add(
        "--extend",
        action="store_true",
        help="add new inputs to an existing run (default: refuse if the run has none of the first inputs)",
    )
    add(
        "--uncertain",
        choices=("report", "lookup", "resubmit"),
        default="lookup",
        help="what to do about a request that fal may have accepted; resubmit may pay twice (default: %(default)s)",
    )


def run(options: argparse.Namespace) -> int:
    # Imported late: these take a quarter of a second to load, and --help does not need them.
    from fal_async.cli.batch.running import run_batch

    return run_batch(options)
