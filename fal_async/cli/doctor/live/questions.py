"""All questions, in the order in which they are asked, and asking them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fal_async.cli.doctor.live import (
    cancel_questions,
    header_questions,
    history_questions,
    route_questions,
    submit_questions,
    token_questions,
)
from fal_async.cli.doctor.live.not_seen import NotSeenError
from fal_async.cli.doctor.live.observations import Observations
from fal_async.cli.doctor.live.question import Answer, Question, judged, unknown
from fal_async.errors import FalError

QUESTIONS: tuple[Question, ...] = (
    *history_questions.QUESTIONS,  # first, because they measure times since the end of the first request
    *submit_questions.QUESTIONS,
    *cancel_questions.QUESTIONS,
    *token_questions.QUESTIONS,
    *route_questions.QUESTIONS,
    *header_questions.QUESTIONS,  # last, because they look at all responses
)
MOST_REQUESTS = 6
"""How many requests all questions together submit, at most: one that completes, two that are cancelled, one with a
wrong input, and two with a malformed header."""


async def answers_to(
    seen: Observations,
    questions: Sequence[Question],
    asking: Callable[[Question], object] | None = None,
) -> list[Answer]:
    """Ask each question, and return the answers. `asking`: called before each; None: no function.

    A question that fails has an answer that says why. Cancelling is safe if `LiveRequests.end_all` follows.
    """
    answers = []
    for question in questions:
        if asking is not None:
            asking(question)
        answers.append(await _answer(seen, question))
    return answers


async def _answer(seen: Observations, question: Question) -> Answer:
    try:
        return judged(question, await question.ask(seen))
    except NotSeenError as error:
        return unknown(question, str(error))
    except FalError as error:
        return unknown(question, error.message)
