"""Run an endpoint over a file of inputs, each paid once.

INPUTS is a file of JSON lines (.jsonl), CSV (.csv) or Parquet (.parquet), or - for JSON lines from standard input.
The same line again goes on where it stopped. Ctrl-C leaves in order, a second one at once. The key is FAL_KEY.

Exit status: 0 done, 1 some failed, 2 usage, 3 credentials or balance, 4 some outcome is uncertain, 5 stopped by its
limits, 130 Ctrl-C.
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
    arguments.add_run(parser, "the endpoint; another name pays anew")
    add("--key-column", metavar="NAME", help="what tells inputs apart (default: the input itself)")
    add("--columns", type=arguments.names, metavar="A,B,...", help="what is sent (default: every column)")
    add("--download", metavar="FOLDER", help="where the files of the results go")
    add("--names", metavar="TEMPLATE", help='what they are called, such as "{key}-{n}{ext}"')
    arguments.add_json(parser)
    add(
        "--progress",
        action=argparse.BooleanOptionalAction,
        help="on standard error (default: if that is a terminal)",
    )
    _configure_limits(parser)


def _configure_limits(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    default = "(default: %(default)s)"
    add("--concurrency", type=arguments.at_least_one, default=40, help=f"requests at a time {default}")
    add("--retries", type=arguments.count, default=2, help=f"further attempts of an input {default}")
    add("--timeout", type=arguments.seconds, metavar="SECONDS", help="of one request, once it runs")
    add("--max-failures", type=arguments.failures, metavar="N|P%", help="stop after more failures than that")
    add("--max-cost", type=arguments.amount, metavar="AMOUNT", help="needs prices: refused, none are known")
    add("--retry-failed", action="store_true", help="pay again for what failed before")
    add("--extend", action="store_true", help="these inputs are new ones for a run that is there")
    add(
        "--uncertain",
        choices=("report", "lookup", "resubmit"),
        default="lookup",
        help=f"what happens to a request that fal may have taken: resubmit may pay twice {default}",
    )


def run(options: argparse.Namespace) -> int:
    # Not for --help: these take a quarter of a second to load.
    from fal_async.cli.batch.running import run_batch

    return run_batch(options)
