from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fal_async.emulator.jobs.waiting_line import WaitingLine


def test_first_in_first_out() -> None:
    lane = WaitingLine[str]()
    tickets = [lane.push(name) for name in "abc"]
    assert [lane.position(ticket) for ticket in tickets] == [0, 1, 2]
    assert [lane.pop() for _ in range(3)] == ["a", "b", "c"]
    with pytest.raises(IndexError):
        lane.pop()


def test_a_ticket_leaves_once() -> None:
    lane = WaitingLine[str]()
    ticket = lane.push("a")
    lane.remove(ticket)
    with pytest.raises(KeyError):
        lane.remove(ticket)


@given(
    st.lists(st.sampled_from(["push", "pop", "remove_first", "remove_middle", "remove_last"]), max_size=80)
)
def test_positions_are_those_of_a_plain_list(steps: list[str]) -> None:
    lane, plain, number = WaitingLine[int](), list[tuple[int, int]](), 0
    for step in steps:
        if step == "push":
            plain.append((lane.push(number), number))
            number += 1
        elif plain and step == "pop":
            assert lane.pop() == plain.pop(0)[1]
        elif plain:
            at = {"remove_first": 0, "remove_middle": len(plain) // 2, "remove_last": -1}[step]
            lane.remove(plain.pop(at)[0])
        assert len(lane) == len(plain)
        assert [lane.position(ticket) for ticket, _ in plain] == list(range(len(plain)))
