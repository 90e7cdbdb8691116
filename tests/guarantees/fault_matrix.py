"""`python -m tests.guarantees.fault_matrix`: plays every fault with every operation, and prints tables."""

from __future__ import annotations

import asyncio
import sys
import time

from tests.guarantees.fault_cases import CASES, OPERATIONS, Outcome, broken_rules, play

_TITLES = {
    "run": "`run`",
    "submit": "`queue.submit`",
    "status": "`subscribe`, in a poll",
    "status_stream": "`subscribe`, in a status stream",
    "result": "`subscribe`, in the result fetch",
    "cancel": "`cancel`",
}
_SHORT = {
    "SubmissionUncertainError": "uncertain",
    "RequestHandle": "handle",
    "Result": "result",
    "CANCELLATION_REQUESTED": "cancelled",
    "ALREADY_COMPLETED": "cancelled",
}
LEGEND = """\
Each cell: what the caller gets · requests of that kind that were sent · jobs that were made · milliseconds.
`uncertain` is `SubmissionUncertainError`; other errors are named without `Error`. Retry delays are a hundredth
of the defaults, the limits of an attempt a quarter of a second, so that the table is made in a minute."""


def cell(outcome: Outcome) -> str:
    ending = _SHORT.get(outcome.ending, outcome.ending.removesuffix("Error"))
    text = f"{ending} · {outcome.requests} · {outcome.jobs} · {outcome.seconds * 1000:.0f}"
    return f"**{text}: {', '.join(broken)}**" if (broken := broken_rules(outcome)) else text


def table(outcomes: dict[tuple[str, str], Outcome]) -> str:
    lines = [
        "| fault | " + " | ".join(_TITLES[operation] for operation in OPERATIONS) + " |",
        "|" + "---|" * (len(OPERATIONS) + 1),
    ]
    for case in CASES:
        found = [outcomes.get((case.name, operation)) for operation in OPERATIONS]
        cells = ["" if outcome is None else cell(outcome) for outcome in found]
        lines.append(f"| {case.name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


async def matrix(*, lasting: bool) -> dict[tuple[str, str], Outcome]:
    """Play the cells one after the other, so that the times depend on the fault alone."""
    outcomes = {}
    for case in CASES:
        for operation in case.on:
            outcomes[case.name, operation] = await play(case, operation, lasting=lasting)
    return outcomes


async def main() -> int:
    began, broken = time.perf_counter(), 0
    for lasting in (False, True):
        outcomes = await matrix(lasting=lasting)
        broken += sum(bool(broken_rules(outcome)) for outcome in outcomes.values())
        print(f"\n### {'Faults that last' if lasting else 'Faults that strike twice'}\n\n{table(outcomes)}")
    print(f"\n{LEGEND}\n")
    print(f"{broken} cells break a rule; {time.perf_counter() - began:.0f} s", file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
