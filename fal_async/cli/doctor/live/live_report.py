"""The answers as a table that can be pasted into an issue, and as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import attrs

from fal_async.cli.doctor.live.question import Answer, Verdict
from fal_async.version import __version__

SHEET = "fal_async/protocol/README.md"
_COLUMNS = ("verdict", "protocol", "question", "seen", "the sheet says")


@attrs.frozen(kw_only=True)
class Outcome:
    """What came of all questions.

    Attributes:
        endpoint_id: the endpoint of the paid requests.
        queue: the base URL of the queue.
        submitted: how many requests fal accepted.
        units: the billable units that fal reported for each result that was fetched.
        answers: the answers, in the order of the questions.
        running: ids of requests that could not be ended.
        uncertain: what is known of submits that fal may have accepted, whose ids are unknown.
    """

    endpoint_id: str
    queue: str
    submitted: int
    units: tuple[str, ...]
    answers: tuple[Answer, ...]
    running: tuple[str, ...] = ()
    uncertain: tuple[str, ...] = ()

    def count(self, verdict: Verdict) -> int:
        return Counter(answer.verdict for answer in self.answers)[verdict]


def table_of(outcome: Outcome) -> str:
    """Return a table in Markdown, and lines about the rest. What the sheet says is left out where fal agrees."""
    head = (
        f"fal-async doctor --live: fal_async {__version__}, {outcome.endpoint_id} at {outcome.queue}, "
        f"{outcome.submitted} requests, billable units {' + '.join(outcome.units) or 'not told'}"
    )
    return "\n".join((head, "", *_rows(outcome.answers), "", *_conclusion(outcome)))


def _rows(answers: Sequence[Answer]) -> list[str]:
    rows = [_COLUMNS, *(_cells(answer) for answer in answers)]
    # The last column is not padded, so that most lines stay short.
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS) - 1)]
    lines = [_line(row, widths) for row in rows]
    return [lines[0], _line([*("-" * width for width in widths), "---"], widths), *lines[1:]]


def _cells(answer: Answer) -> tuple[str, ...]:
    question = answer.question
    sheet = "" if answer.verdict is Verdict.AGREES else question.sheet
    cells = (answer.verdict.value, question.section, question.asks, answer.seen, sheet)
    return tuple(cell.replace("|", "\\|") for cell in cells)


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    *padded, last = row
    cells = [cell.ljust(width) for cell, width in zip(padded, widths, strict=True)]
    return f"| {' | '.join([*cells, last])} |"


def _conclusion(outcome: Outcome) -> list[str]:
    counts = {verdict: outcome.count(verdict) for verdict in Verdict}
    lines = [
        f"{counts[Verdict.AGREES]} agree with {SHEET}, {counts[Verdict.DIFFERS]} differ, "
        f"{counts[Verdict.ANSWERED]} answer an open question, {counts[Verdict.UNKNOWN]} are unknown."
    ]
    if counts[Verdict.DIFFERS] or counts[Verdict.ANSWERED]:
        lines.append("Please paste this table into an issue of fal_async: it corrects the sheet.")
    lines += [
        f"Request {request_id} may still run: cancel it at https://fal.ai/dashboard"
        for request_id in outcome.running
    ]
    lines += [f"Uncertain, perhaps billed: {words}" for words in outcome.uncertain]
    return lines


def outcome_document(outcome: Outcome) -> dict[str, Any]:
    """Return the outcome for programs."""
    return {
        "endpoint_id": outcome.endpoint_id,
        "queue": outcome.queue,
        "submitted": outcome.submitted,
        "billable_units": list(outcome.units),
        "counts": {verdict.value: outcome.count(verdict) for verdict in Verdict},
        "answers": [answer.to_dict() for answer in outcome.answers],
        "still_running": list(outcome.running),
        "uncertain": list(outcome.uncertain),
    }
