"""Run a program so that its calls of fal lead to an emulator, which starts and ends with it.

The program is not changed, and needs no setting: its environment is set so that the names of fal's hosts lead to
the emulator in Python, in Node and in curl, also in programs that it starts. Other hosts are not touched. A program
in another language may read FAL_BASE_URL. If it calls fal, fal refuses the emulator's key, so that nothing is paid.
"""

from __future__ import annotations

import argparse
from functools import partial

from fal_async.cli import listening
from fal_async.cli.argument_types import add_json
from fal_async.cli.emulator.emulator_arguments import add_state, configure_emulator, emulator_of, start_log
from fal_async.cli.messages import fail, say
from fal_async.cli.parsers import USAGE
from fal_async.emulator.defaults import DEFAULT_HOST

EXAMPLES = (
    "fal-async emulator exec -- python app.py",
    "fal-async emulator exec -- curl https://fal.run/fal-ai/any-llm -H 'Authorization: Key emulator:key' -d '{}'",
    "fal-async emulator exec --speed 10 --app shop:endpoints -- python app.py",
)
TAKES_COMMAND = True
"""The words after `--` are `options.command`."""


def configure(parser: argparse.ArgumentParser) -> None:
    configure_emulator(parser, port=0, log="none")
    parser.set_defaults(host=DEFAULT_HOST)  # not an option: the program runs on this machine
    parser.add_argument(
        "--proxy",
        action="store_true",
        help="also set HTTPS_PROXY, which programs in other languages read, to a proxy that leads fal's names to "
        "the emulator, and passes other hosts on",
    )
    add_state(parser, "when the program has ended")
    add_json(parser, "print the address and the keys as one JSON document on standard error")


def run(options: argparse.Namespace) -> int:
    if not options.command:
        say(
            "fal-async emulator exec: the program is missing, such as: fal-async emulator exec -- python app.py"
        )
        return USAGE
    # Imported late: these take a quarter of a second to load, and --help does not need them.
    import asyncio

    from fal_async.emulator.apps.hosted_application import StartError
    from fal_async.emulator.execution.launcher import ProgramError, execute
    from fal_async.emulator.server import Emulator
    from fal_async.emulator.serving.announcement import document
    from fal_async.emulator.serving.certificates import Certificates

    def started(emulator: Emulator, certificates: Certificates) -> None:
        start_log(emulator, options.access_log or "none")
        line = f"fal emulator at {emulator.url} for {options.command[0]} (key {emulator.key})"
        say(document(emulator, certificates).rstrip() if options.json else line)

    running = execute(
        options.command,
        partial(emulator_of, options),
        folder=options.tls_folder,
        proxied=options.proxy,
        state=options.state,
        started=started,
    )
    try:
        return asyncio.run(running)
    except ProgramError as error:
        fail("emulator exec", str(error))
        return error.status
    except (ValueError, ModuleNotFoundError, StartError) as error:
        return fail("emulator exec", str(error))
    except OSError as error:
        return fail("emulator exec", listening.explained(error, options.host, options.port))
