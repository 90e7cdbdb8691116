"""Errors of api.fal.ai/v1, raised where a request is read (protocol 11.7)."""

from __future__ import annotations

from fal_async.emulator.wire.answers import Answer, platform_error


class Refusal(Exception):
    """Ends an operation with an error answer."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer: Answer = answer


def invalid(message: str) -> Refusal:
    return Refusal(platform_error(400, "validation_error", message))


def not_found(message: str) -> Refusal:
    return Refusal(platform_error(404, "not_found", message))


def forbidden(message: str) -> Refusal:
    return Refusal(platform_error(403, "authorization_error", message))
