"""Each log line is shown as often as it was sent: in moving windows and streams, with and without timestamps."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fal_async.models import RequestLog
from fal_async.protocol.queue_status import LogHistory, NewLogs

TIMES = pytest.mark.parametrize(
    "time", ["", "2026-01-01T00:00:00Z"], ids=["without timestamps", "with equal timestamps"]
)


def lines(text: str, time: str = "") -> tuple[RequestLog, ...]:
    return tuple(RequestLog(message=letter, timestamp=time) for letter in text)


def text(found: Sequence[RequestLog]) -> str:
    return "".join(line.message for line in found)


@TIMES
@pytest.mark.parametrize(
    ("windows", "news"),
    [
        (["abcdc"], ["abcdc"]),
        (["aa", "aaa", "aaa"], ["aa", "a", ""]),
        (["ab", "abb", "abba"], ["ab", "b", "a"]),
        (["abb", "bbc", "bcb", "cbb"], ["abb", "c", "b", "b"]),
        (["asbs", "sbsc", "bscs", "scss"], ["asbs", "c", "s", "s"]),
        (["", "a", "", "ab"], ["", "a", "", "b"]),
        (["abc", "def", "fab"], ["abc", "def", "ab"]),
        (["abcde", "bcd"], ["abcde", ""]),
        (["abc", "bdc", "dce"], ["abc", "d", "ce"]),
    ],
)
def test_polls_show_the_lines_of_a_moving_window_after_the_last_known_line(
    windows: list[str], news: list[str], time: str
) -> None:
    new_logs = NewLogs(LogHistory())
    assert [text(new_logs.take(lines(window, time))) for window in windows] == news


@TIMES
@pytest.mark.parametrize(
    ("events", "news"),
    [
        (["abb"], ["abb"]),
        (["ab", "cb", "b"], ["ab", "cb", "b"]),
        (["a", "ab", "abc"], ["a", "b", "c"]),
        (["a", "", "b", "ab"], ["a", "", "b", "ab"]),
    ],
)
def test_a_status_stream_shows_the_new_lines_of_each_event(
    events: list[str], news: list[str], time: str
) -> None:
    new_logs = NewLogs(LogHistory())
    assert [text(new_logs.take_event(lines(event, time))) for event in events] == news


def test_a_repeated_event_is_shown_once_if_its_lines_have_timestamps() -> None:
    for time, news in (("2026-01-01T00:00:00Z", ["ab", "c", ""]), ("", ["ab", "c", "c"])):
        new_logs = NewLogs(LogHistory())
        assert [text(new_logs.take_event(lines(event, time))) for event in ("ab", "c", "c")] == news


@TIMES
def test_a_new_stream_after_polls_repeats_no_log_lines(time: str) -> None:
    history = LogHistory()
    new_logs = NewLogs(history)
    assert text(new_logs.take_event(lines("abb", time))) == "abb"
    assert text(new_logs.take(lines("bbc", time))) == "c"
    new_logs.begin_stream()
    assert text(new_logs.take_event(lines("abb", time))) == ""
    assert text(new_logs.take_event(lines("cc", time))) == "c"
    assert text(history.lines) == "abbcc"


@TIMES
def test_a_second_follower_is_shown_all_log_lines_of_the_shared_history(time: str) -> None:
    history = LogHistory()
    first, second = NewLogs(history), NewLogs(history)
    assert text(first.take(lines("abb", time))) == "abb"
    assert text(second.take_event(lines("ab", time))) == "ab"
    assert text(first.take(lines("abbb", time))) == "b"
    assert text(second.take_event(lines("b", time))) == "b"
    assert text(second.take_event(lines("bc", time))) == "bc"
    assert text(first.take(lines("abbbc", time))) == "c"
    assert text(history.lines) == "abbbc"


@given(st.lists(st.text("ab", max_size=5), max_size=8), st.booleans())
def test_logs_that_only_grow_are_shown_completely(added: list[str], timed: bool) -> None:
    new_logs, sent, shown = NewLogs(LogHistory()), "", ""
    for more in added:
        sent += more
        shown += text(new_logs.take(lines(sent, "2026-01-01T00:00:00Z" if timed else "")))
    assert shown == sent
