from __future__ import annotations

from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fal_async.emulator.jobs.waiting_line import WaitingLine

Group = Literal["red", "blue"]
GROUPS: tuple[Group, ...] = ("red", "blue")


def anybody(_: Group) -> bool:
    return True


def test_waiting_entries_leave_in_the_order_in_which_they_came() -> None:
    lane = WaitingLine[Group, str]()
    tickets = [lane.push(name, "red") for name in "abc"]
    assert [lane.position(ticket) for ticket in tickets] == [0, 1, 2]
    assert [lane.pop(anybody) for _ in range(4)] == ["a", "b", "c", None]


def test_a_group_that_may_not_go_does_not_block_other_groups() -> None:
    lane = WaitingLine[Group, str]()
    lane.push("a", "red")
    lane.push("b", "blue")
    lane.push("c", "red")
    assert lane.pop(lambda group: group == "blue") == "b"
    assert lane.pop(lambda group: group == "blue") is None
    assert (lane.first_of("red"), lane.first_of("blue")) == ("a", None)
    assert [lane.pop(anybody), lane.pop(anybody)] == ["a", "c"]


def test_a_ticket_can_be_removed_only_once() -> None:
    lane = WaitingLine[Group, str]()
    ticket = lane.push("a", "red")
    lane.remove(ticket, "red")
    with pytest.raises(KeyError):
        lane.remove(ticket, "red")


STEPS = ["push", "pop", "pop_blue", "remove_first", "remove_middle", "remove_last"]


@given(st.lists(st.tuples(st.sampled_from(STEPS), st.sampled_from(GROUPS)), max_size=80))
def test_positions_are_the_same_as_in_a_plain_list(steps: list[tuple[str, Group]]) -> None:
    lane, plain, number = WaitingLine[Group, int](), list[tuple[int, int, Group]](), 0
    for step, group in steps:
        if step == "push":
            plain.append((lane.push(number, group), number, group))
            number += 1
        elif step.startswith("pop"):
            may_go = GROUPS if step == "pop" else GROUPS[1:]
            first = next((entry for entry in plain if entry[2] in may_go), None)
            assert lane.pop(may_go.__contains__) == (None if first is None else first[1])
            plain = [entry for entry in plain if entry is not first]
        elif plain:
            at = {"remove_first": 0, "remove_middle": len(plain) // 2, "remove_last": -1}[step]
            ticket, _, its = plain.pop(at)
            lane.remove(ticket, its)
        assert len(lane) == len(plain)
        assert [lane.position(ticket) for ticket, _, _ in plain] == list(range(len(plain)))
