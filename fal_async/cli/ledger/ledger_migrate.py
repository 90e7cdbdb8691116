"""Make the tables of a ledger in a PostgreSQL database, or migrate them to this version of fal_async.

Run it as the owner of the tables, and once for all machines: before the programs use a newer version. It does
nothing if there is nothing to do. A ledger in a file needs it never: it is migrated when it is opened.

Other users of the machine can see a password in the arguments: put it into the environment variable PGPASSWORD,
or into the file ~/.pgpass. Exit status: 2 if the database can't be used, 1 if it can't be reached.
"""

from __future__ import annotations

import argparse

from fal_async.cli.ledger.role_argument import add_role

EXAMPLES = ("fal-async ledger migrate postgresql://admin@localhost/runs --role app",)


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "ledger", metavar="LEDGER", help="URL of the database: postgresql://user@host/database"
    )
    add_role(parser)
    parser.add_argument(
        "--json", action="store_true", help="print the versions before and now as a JSON object"
    )


def run(options: argparse.Namespace) -> int:
    # Imported late: these take a quarter of a second to load, and --help does not need them.
    from fal_async.cli.ledger.migrate_command import migrate

    return migrate(options)
