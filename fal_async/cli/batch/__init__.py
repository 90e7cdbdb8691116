"""Send many inputs to one endpoint, each paid once.

A ledger (a file, or a PostgreSQL database) stores each request and its outcome, so that the same command continues
where it stopped.
"""

from __future__ import annotations

from fal_async.cli.verbs import Verb

PARTS = {
    "run": Verb(
        "batch.batch_run", "send the inputs in a file to an endpoint; the same command continues the run"
    ),
    "status": Verb("batch.batch_status", "show how many requests of each run are done, failed or open"),
    "uncertain": Verb(
        "batch.batch_uncertain", "list requests that fal may have accepted, look them up, or resolve one"
    ),
    "export": Verb("batch.batch_export", "write the entries of a ledger to a file, as JSON lines or CSV"),
}
"""The parts of the verb."""
