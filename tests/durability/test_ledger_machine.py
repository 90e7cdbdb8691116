"""Keyed calls of several processes on one SQLite file, in random steps, between which a process may be killed."""

from __future__ import annotations

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.durability.sqlite_shelf import SqliteShelf
from tests.protocol.ledger.machine import LedgerMachine
from tests.protocol.ledger.model import Shelf


class SqliteMachine(LedgerMachine):
    loses_locks = False  # the kernel frees a record lock only with its process

    def make_shelf(self) -> Shelf:
        return SqliteShelf()


def test_keyed_calls_of_dying_processes_over_one_file_pay_once_and_lose_nothing() -> None:
    run_state_machine_as_test(
        SqliteMachine,
        settings=settings(
            max_examples=12,
            stateful_step_count=30,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
