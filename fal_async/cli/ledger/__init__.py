"""Make the tables of a ledger in a PostgreSQL database, or migrate them to this version of fal_async.

`fal_async.Ledger.open` makes them, too, if its user may do so. To look into a ledger, use `fal-async batch`.
"""

from __future__ import annotations

from fal_async.cli.verbs import Verb

PARTS = {
    "schema": Verb("ledger.ledger_schema", "print the SQL that makes the tables, for an administrator"),
    "migrate": Verb(
        "ledger.ledger_migrate",
        "make the tables in a database, or migrate them to this version of fal_async",
    ),
}
"""The parts of the verb."""
