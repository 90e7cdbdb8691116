"""Server-sent events, bytes in, events out: WHATWG HTML 9.2.6, "interpreting an event stream".

Streams (protocol 5.1) and status streams (protocol 4.3) both arrive in this format. Nothing here waits,
reads a clock or parses JSON; the decoder takes the bytes of one body in pieces of any size.
"""

from __future__ import annotations

import attrs

from fal_async.errors import ResponseDecodeError

DEFAULT_MAX_EVENT_SIZE = 64 * 1024 * 1024

_BOM = b"\xef\xbb\xbf"
# Ten digits of milliseconds are four months. Python refuses to convert thousands of digits.
_MAX_RETRY_DIGITS = 10


@attrs.frozen(kw_only=True)
class ServerSentEvent:
    """One event, as it was dispatched.

    Attributes:
        data: the event's data lines, joined by line feeds; may be empty.
        event: the event's type.
        id: the last event id of the stream: the newest seen up to this event, not only within it.
        retry: reconnection time in milliseconds, if this event brought one.
    """

    data: str
    event: str = "message"
    id: str = ""
    retry: int | None = None


class SSEDecoder:
    """Decodes one event stream, fed in pieces of any size. An event is given out with its closing blank line.

    Args:
        max_event_size: the most bytes of one event (and of any one line) that are held; default 64 MiB.

    Attributes:
        last_event_id: the newest id that a blank line has confirmed, or `""`.
        retry: the newest reconnection time in milliseconds, or None.
    """

    __slots__ = (
        "_begun",
        "_data",
        "_event",
        "_event_retry",
        "_id",
        "_line",
        "_max_size",
        "_size",
        "_skip_lf",
        "_too_large",
        "last_event_id",
        "retry",
    )

    def __init__(self, *, max_event_size: int = DEFAULT_MAX_EVENT_SIZE) -> None:
        self.last_event_id: str = ""
        self.retry: int | None = None
        self._max_size = max_event_size
        self._too_large = False
        self._begun = False  # past the place of the byte order mark
        self._skip_lf = False  # the piece before ended in CR: an LF now belongs to the same line end
        self._line = bytearray()  # an unfinished line; appending to it costs no copy of what is there
        self._data: list[bytes] = []
        self._size = 0  # bytes of the lines in _data
        self._event = ""
        self._event_retry: int | None = None
        self._id = ""

    @property
    def incomplete(self) -> bool:
        """Whether part of an event is held. True once the body has ended: it was cut off in mid-event.

        Such a rest is never given out: "once the end of the file is reached, any pending data must be
        discarded".
        """
        pending = self._line or self._data or self._event or self._id != self.last_event_id
        return bool(pending) or self._too_large

    def feed(self, chunk: bytes) -> list[ServerSentEvent]:
        """The events that `chunk` completes, in order.

        Raises:
            ResponseDecodeError: an event is larger than `max_event_size`. The events before it are given out
                first (the error then comes with the next call), and the decoder is of no use after it.
        """
        return [
            ServerSentEvent(data=event) if isinstance(event, str) else event
            for event in self.feed_light(chunk)
        ]

    def feed_light(self, chunk: bytes) -> list[str | ServerSentEvent]:
        """The same, but events that are nothing but data come as that text: half the work for most streams."""
        events: list[str | ServerSentEvent] = []
        if not self._too_large:
            chunk = self._with_plain_line_ends(chunk if self._begun else self._past_bom(chunk))
            self._take_blocks(chunk, events)
        if self._too_large and not events:
            raise ResponseDecodeError(f"a streamed event is larger than {self._max_size} bytes")
        return events

    def _take_blocks(self, chunk: bytes, events: list[str | ServerSentEvent]) -> None:
        """Whole events of one data line, as nearly all are, in a few operations; others line by line."""
        if self.incomplete or self._event_retry is not None:
            end = chunk.find(b"\n\n") + 2
            self._take(self._split(chunk if end == 1 else chunk[:end]), events)
            chunk = b"" if end == 1 else chunk[end:]
            if self._too_large:
                return
        end = chunk.rfind(b"\n\n") + 2
        if end > 1 and (plain := self._plain_events(chunk[:end])):
            events += plain
            chunk = chunk[end:]
        self._take(self._split(chunk), events)

    def _plain_events(self, whole: bytes) -> list[str]:
        """The data of these events if each is one data line and nothing else; otherwise an empty list."""
        if self._id or len(whole) > self._max_size or not whole.startswith(b"data: "):
            return []
        data = whole[6:-2].decode("utf-8", "replace").split("\n\ndata: ")
        # Two line ends for each of them: there is no other line, and no further blank one.
        return data if whole.count(b"\n") == 2 * len(data) else []

    def _split(self, chunk: bytes) -> list[bytes]:
        """The lines that `chunk` completes; what is left over stays in `_line`."""
        lines = chunk.split(b"\n")
        rest = lines.pop()
        if lines and self._line:
            self._line += lines[0]
            lines[0] = bytes(self._line)
            self._line.clear()
        self._line += rest
        return lines

    def _past_bom(self, chunk: bytes) -> bytes:
        """`chunk` without the one byte order mark that a stream may begin with; later ones are text."""
        head = bytes(self._line) + chunk
        self._line.clear()
        if len(head) < len(_BOM) and _BOM.startswith(head):
            self._line += head
            return b""
        self._begun = True
        return head.removeprefix(_BOM)

    def _with_plain_line_ends(self, chunk: bytes) -> bytes:
        """`chunk` with CR and CRLF as LF. A CR ends its line at once: an event doesn't wait for an LF."""
        if self._skip_lf and chunk:
            chunk = chunk.removeprefix(b"\n")
            self._skip_lf = False
        if b"\r" not in chunk:
            return chunk
        self._skip_lf = chunk.endswith(b"\r")
        return chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _take(self, lines: list[bytes], events: list[str | ServerSentEvent]) -> None:
        data, limit = self._data, self._max_size
        for line in lines:
            if not line:
                if data:
                    events.append(self._event_of_data())
                self._begin_event()
            elif self._size + len(line) > limit:
                self._too_large = True
                return
            elif line.startswith(b"data: "):  # nearly every line: spared the call below
                data.append(line[6:])
                self._size += len(line)
            else:
                self._take_field(line)
        # Counted alike in part and whole, so that chunking doesn't decide what is too large; what may yet
        # turn out a byte order mark doesn't count.
        self._too_large = self._begun and self._size + len(self._line) > limit

    def _event_of_data(self) -> ServerSentEvent:
        # Decoded only now: a character may be split between chunks, never between lines.
        data = b"\n".join(self._data).decode("utf-8", "replace")
        return ServerSentEvent(
            data=data, event=self._event or "message", id=self._id, retry=self._event_retry
        )

    def _begin_event(self) -> None:
        # The id alone outlives its event, and a blank line confirms it even where there is no data.
        self.last_event_id = self._id
        self._data.clear()
        self._size = 0
        self._event = ""
        self._event_retry = None

    def _take_field(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
            self._size += len(line)
        elif name == b"event":
            self._event = value.decode("utf-8", "replace")
        elif name == b"id" and b"\0" not in value:
            self._id = value.decode("utf-8", "replace")
        elif name == b"retry" and value.isdigit() and len(value) <= _MAX_RETRY_DIGITS:
            self.retry = self._event_retry = int(value)
