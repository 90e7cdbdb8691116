"""Print the SQL that makes the tables of a ledger in the schema `fal_async`.

For an administrator, if the programs that use the ledger may not make tables. It needs no database.
"""

from __future__ import annotations

import argparse

from fal_async.cli.argument_types import add_json
from fal_async.cli.ledger.role_argument import add_role
from fal_async.cli.messages import fail

EXAMPLES = ("fal-async ledger schema --role app | psql runs",)


def configure(parser: argparse.ArgumentParser) -> None:
    add_role(parser)
    add_json(parser, "print the SQL as a JSON document")


def run(options: argparse.Namespace) -> int:
    from fal_async.cli.output import OutputLostError, forget_standard_output, put, put_line
    from fal_async.ledger.postgres.postgres_schema import script

    try:
        sql = script(options.role).rstrip()
        if options.json:
            put({"sql": sql})
        else:
            put_line(sql)
    except OutputLostError as error:
        forget_standard_output()
        return fail("ledger schema", str(error))
    return 0
