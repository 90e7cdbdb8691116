"""Run an endpoint over a file of inputs, each paid once.

INPUTS is a file of JSON lines (.jsonl), CSV (.csv) or Parquet (.parquet), or - for JSON lines from standard
input. The same command continues a run where it stopped. Ctrl-C ends the run in an orderly way; a second one
ends the process at once. The key is taken from FAL_KEY.

Exit status: 0 done, 1 some items failed, 2 wrong usage, 3 wrong credentials or empty balance, 4 some items are
uncertain, 5 stopped by its limits, 130 Ctrl-C.
"""

from __future__ import annotations

import argparse

from fal_async.cli.batch import shared_arguments as arguments


def configure(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add = parser.add_argument
    add("endpoint", metavar="ENDPOINT", help="such as fal-ai/flux/schnell")
    add("inputs", metavar="INPUTS", help="a file that ends in .jsonl, .csv or .parquet; or -")
    arguments.add_ledger(parser, must_exist=False)
    arguments.add_run(parser, "the endpoint; under another name all is paid for again")
    add("--key-column", metavar="NAME", help="column with the key of each input (default: made of the input)")
    add("--columns", type=arguments.names, metavar="A,B,...", help="columns to send (default: all)")
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
    add("--concurrency", type=arguments.at_least_one, default=40, help=f"most requests in flight {default}")
    add("--retries", type=arguments.count, default=2, help=f"further attempts of each input {default}")
    add(
        "--timeout",
        type=arguments.seconds,
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
        type=arguments.amount,
        metavar="AMOUNT",
        help="refused: this version knows no prices",
    )
    add(
        "--retry-failed", action="store_true", help="submit, and pay for, failed inputs of earlier runs again"
    )
    add(
        "--extend", action="store_true", help="allow a file whose first inputs are all new to an existing run"
    )
    add(
        "--uncertain",
        choices=("report", "lookup", "resubmit"),
        default="lookup",
        help=f"what to do about a request that fal may have taken; resubmit may pay twice {default}",
    )


def run(options: argparse.Namespace) -> int:
    # Imported late: these take a quarter of a second to load, and --help does not need them.
    from fal_async.cli.batch.running import run_batch

    return run_batch(options)
