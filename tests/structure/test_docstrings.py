"""Every public docstring has the sections that apply, and they agree with the signature."""

from __future__ import annotations

import attrs
import pytest

from tests.structure.docstrings import Documented, complaints, public_objects, report


def test_every_public_docstring_has_its_sections() -> None:
    assert report() == []


def test_what_a_user_can_reach_counts_as_public() -> None:
    names = {each.name for each in public_objects()}
    assert names >= {
        "Session.subscribe",
        "Queue.submit",
        "Storage.upload",
        "RequestHandle.updates",
        "Emulator.mount",
        "Fault.answer",
        "FalProxy",
        "idempotency_key",
    }
    assert not any(name.split(".")[-1].startswith("_") for name in names)


async def wait(seconds: float, *, name: str = "") -> int:
    """Wait."""
    return 1


async def described(seconds: float, *, name: str = "") -> int:
    """Wait.

    Cancelling it is safe.

    Args:
        seconds: How long.
        name: Of what.

    Returns:
        One.

    Raises:
        ValueError: If it is too long.
    """
    return 1


def other(a: int) -> None:  # noqa: D417
    """Do it.

    Args:
        b: Another one.
    """


def silent() -> None: ...


def alike(a: int) -> int:
    """Wait. The arguments are the same as those of `described`."""
    return a


@attrs.frozen
class Value:
    """A value.

    Attributes:
        a: One.
        c: Three.
    """

    a: int
    b: int


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (
            wait,
            [
                "Args: lacks seconds, name",
                "Returns: (or Yields:) is missing, and the summary does not begin with Return",
                "does not say whether cancelling is safe",
                "Raises: is missing",
            ],
        ),
        (described, []),
        (other, ["Args: lacks a", "Args: b is not a parameter"]),
        (silent, ["no docstring"]),
        (alike, []),
        (Value, ["Attributes: lacks b", "Attributes: c is not there"]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_docstring_that_lacks_a_section_or_disagrees_is_reported(value: object, said: list[str]) -> None:
    assert list(complaints(Documented("x", "fal_async", value))) == said
