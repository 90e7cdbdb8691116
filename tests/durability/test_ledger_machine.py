"""Keyed calls of several processes on one ledger, in random steps, between which a process may be killed."""

from __future__ import annotations

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.ledger.postgres_shelf import PostgresShelf
from tests.ledger.sqlite_shelf import SqliteShelf
from tests.protocol.ledger.machine import LedgerMachine
from tests.protocol.ledger.model import Shelf


class SqliteMachine(LedgerMachine):
    loses_locks = False  # the kernel frees a record lock only with its process

    def make_shelf(self) -> Shelf:
        return SqliteShelf()


def check(machine: type[LedgerMachine], examples: int) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=30,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_keyed_calls_of_dying_processes_over_one_file_pay_once_and_lose_nothing() -> None:
    check(SqliteMachine, 12)


def test_keyed_calls_of_dying_processes_over_one_database_pay_once_and_lose_nothing(database: str) -> None:
    class PostgresMachine(LedgerMachine):
        def make_shelf(self) -> Shelf:
            return PostgresShelf(database)

    check(PostgresMachine, 8)
