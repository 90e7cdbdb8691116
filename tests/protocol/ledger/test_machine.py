"""Keyed calls on a ledger in memory: wherever processes die, each key is billed once, and no result is lost."""

from __future__ import annotations

from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from tests.protocol.ledger.machine import LedgerMachine


def test_keyed_calls_of_processes_that_die_anywhere_are_billed_once_and_lose_no_result() -> None:
    run_state_machine_as_test(
        LedgerMachine, settings=settings(max_examples=60, stateful_step_count=30, deadline=None)
    )
