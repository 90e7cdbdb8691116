"""A question to fal as a value, and the comparison of what was seen with what the facts say."""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable
from fnmatch import fnmatchcase
from typing import Any

import attrs

from fal_async.cli.doctor.live.observations import Observations


class Verdict(enum.StrEnum):
    """How an answer of fal compares with the facts."""

    AGREES = "agrees"
    DIFFERS = "differs"
    ANSWERED = "answered"
    """The facts leave the question open, and this is the answer."""
    UNKNOWN = "unknown"
    """The question could not be asked."""


@attrs.frozen(kw_only=True)
class Question:
    """One question to fal.

    Attributes:
        name: a short name, such as "cancel-running".
        section: the section of `fal_async/protocol/README.md`, such as "4.5", or "14, no. 2".
        asks: the question.
        sheet: what that section says.
        expected: patterns, such as "202 *", of answers that agree with it. Empty: it leaves the question open.
        ask: returns what was seen, or raises NotSeenError or FalError.
    """

    name: str
    section: str
    asks: str
    sheet: str
    expected: tuple[str, ...] = ()
    ask: Callable[[Observations], Awaitable[str]]


@attrs.frozen(kw_only=True)
class Answer:
    """What was seen for one question, or why nothing was."""

    question: Question
    seen: str
    verdict: Verdict

    def to_dict(self) -> dict[str, Any]:
        """Return the answer for JSON."""
        question = self.question
        return {
            "name": question.name,
            "section": question.section,
            "question": question.asks,
            "sheet": question.sheet,
            "seen": self.seen,
            "verdict": self.verdict.value,
        }


def judged(question: Question, seen: str) -> Answer:
    """Return the answer with its verdict."""
    if not question.expected:
        verdict = Verdict.ANSWERED
    elif any(fnmatchcase(seen, pattern) for pattern in question.expected):
        verdict = Verdict.AGREES
    else:
        verdict = Verdict.DIFFERS
    return Answer(question=question, seen=seen, verdict=verdict)


def unknown(question: Question, reason: str) -> Answer:
    """Return the answer of a question that could not be asked."""
    return Answer(question=question, seen=reason, verdict=Verdict.UNKNOWN)
