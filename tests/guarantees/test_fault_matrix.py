"""Every fault with every operation: the rules that hold in each cell of the fault matrix."""

from __future__ import annotations

import asyncio

import pytest

from fal_async import Timeouts
from fal_async.emulator.faults.kinds import KINDS
from tests.guarantees.fault_cases import CASES, OPERATIONS, Case, broken_rules, play
from tests.guarantees.fault_matrix import cell
from tests.quick import at_once

# Three times those of the table: here cells are played concurrently, on busy machines.
TIMEOUTS = Timeouts(connect=1.5, first_byte=0.75, total=1.5, run=1.5, stream=0.75)


SILENT = [case for case in CASES if case.make is not None and case.make("run").kind in ("stall", "drip")]
"""Cases that wait for limits."""
OTHERS = [case for case in CASES if case not in SILENT]


@pytest.mark.parametrize("case", OTHERS, ids=[case.name for case in OTHERS])
async def test_every_operation_keeps_the_rules_under_a_fault_twice_and_a_lasting_one(
    no_tasks_left: None, case: Case
) -> None:
    await keeps_the_rules(case)


async def test_every_operation_keeps_the_rules_if_the_server_is_slow_or_silent(no_tasks_left: None) -> None:
    await at_once(keeps_the_rules, SILENT)


async def keeps_the_rules(case: Case) -> None:
    """Play a case with each operation, both with a fault that occurs twice and with one that lasts."""
    played = [
        play(case, operation, lasting=lasting, timeouts=TIMEOUTS)
        for lasting in (False, True)
        for operation in case.on
    ]
    outcomes = await asyncio.gather(*played)
    broken = [broken_rules(outcome) for outcome in outcomes]
    assert not any(broken), [(outcome.lasting, outcome.operation, cell(outcome)) for outcome in outcomes]
    if case.away != "memory lost":
        endings = {outcome.operation: outcome.ending for outcome in outcomes if not outcome.lasting}
        _following_gets_its_result(case, endings)


def _following_gets_its_result(case: Case, endings: dict[str, str]) -> None:
    """Following gets its result in spite of the fault, unless the fault is a definite answer."""
    definite = ("401", "403", "409", "422", "404 (id gone)", "redirect", "504 (start")
    if not case.name.startswith(definite):
        for operation in ("status", "status_stream", "result"):
            assert endings.get(operation, "Result") == "Result"


def test_every_kind_of_fault_is_in_the_matrix() -> None:
    made = {case.make(operation).kind for case in CASES if case.make for operation in case.on}
    # "refuse" is a server that goes away, "replace" is any wrong field; the others concern only streams and
    # sessions (test_streaming, test_realtime), or webhooks ("overtaken").
    assert set(KINDS) - made == {"refuse", "replace", "event", "frame", "ws_close", "overtaken"}
    assert {operation for case in CASES for operation in case.on} == set(OPERATIONS)
