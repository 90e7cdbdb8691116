"""The decoder of server-sent events: WHATWG HTML 9.2.6, "interpreting an event stream".

Streams (protocol 5.1) and status streams (protocol 4.3) both use this format. The decoder does not wait, read a
clock or parse JSON. It accepts the bytes of one body in pieces of any size.
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
    """One server-sent event.

    Attributes:
        data: the event's data lines, joined by line feeds; may be empty.
        event: the event's type; default "message".
        id: the last event id of the stream, which this event or an earlier one set; "" if none did.
        retry: reconnection time in milliseconds; None if this event did not set one.
    """

    data: str
    event: str = "message"
    id: str = ""
    retry: int | None = None


class SSEDecoder:
    """Decodes one event stream, given in pieces of any size. An event is complete with its closing blank line.

    Args:
        max_event_size: maximum size of one event, and of any one line, in bytes; default 64 MiB.

    Attributes:
        last_event_id: the newest id that a blank line has confirmed; "" without one.
        retry: the newest reconnection time in milliseconds; None without one.
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
        self._begun = False  # whether the bytes are read that may be a byte order mark
        self._skip_lf = False  # whether the last piece ended in CR: an LF now belongs to the same line end
        self._line = bytearray()  # an unfinished line; a bytearray grows without copying
        self._data: list[bytes] = []
        self._size = 0  # bytes of the lines in _data
        self._event = ""
        self._event_retry: int | None = None
        self._id = ""

    @property
    def incomplete(self) -> bool:
        """Whether part of an event is buffered. If it is True at the end of the body, the stream was cut off.

        Such a part is never returned: "once the end of the file is reached, any pending data must be discarded".
        """
        pending = self._line or self._data or self._event or self._id != self.last_event_id
        return bool(pending) or self._too_large

    def feed(self, chunk: bytes) -> list[ServerSentEvent]:
        """Return the events that `chunk` completes, in order.

        Raises:
            ResponseDecodeError: an event is larger than `max_event_size`. Events before it are returned first, and
                the next call raises. The decoder can't be used after this error.
        """
        return [
            ServerSentEvent(data=event) if isinstance(event, str) else event
            for event in self.feed_light(chunk)
        ]

    def feed_light(self, chunk: bytes) -> list[str | ServerSentEvent]:
        """Do the same as `feed`, but return an event that has only data as a str, which is twice as fast."""
        events: list[str | ServerSentEvent] = []
        if not self._too_large:
            chunk = self._with_plain_line_ends(chunk if self._begun else self._past_bom(chunk))
            self._take_blocks(chunk, events)
        if self._too_large and not events:
            raise ResponseDecodeError(f"a streamed event is larger than {self._max_size} bytes")
        return events

    def _take_blocks(self, chunk: bytes, events: list[str | ServerSentEvent]) -> None:
        """Decode complete events of one data line, as nearly all are, together, and others line by line."""
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
        """Return the data of these events if each consists of one data line only; otherwise an empty list."""
        if self._id or len(whole) > self._max_size or not whole.startswith(b"data: "):
            return []
        data = whole[6:-2].decode("utf-8", "replace").split("\n\ndata: ")
        # Exactly two line ends for each event mean that no other lines and no further blank lines are in it.
        return data if whole.count(b"\n") == 2 * len(data) else []

    def _split(self, chunk: bytes) -> list[bytes]:
        """Return the lines that `chunk` completes; the rest stays in `_line`."""
        lines = chunk.split(b"\n")
        rest = lines.pop()
        if lines and self._line:
            self._line += lines[0]
            lines[0] = bytes(self._line)
            self._line.clear()
        self._line += rest
        return lines

    def _past_bom(self, chunk: bytes) -> bytes:
        """Return `chunk` without the byte order mark with which a stream may begin; later ones are text."""
        head = bytes(self._line) + chunk
        self._line.clear()
        if len(head) < len(_BOM) and _BOM.startswith(head):
            self._line += head
            return b""
        self._begun = True
        return head.removeprefix(_BOM)

    def _with_plain_line_ends(self, chunk: bytes) -> bytes:
        """Return `chunk` with CR and CRLF as LF. A CR ends its line at once: an event doesn't wait for an LF."""
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
            elif line.startswith(b"data: "):  # nearly every line, so that the call below is seldom needed
                data.append(line[6:])
                self._size += len(line)
            else:
                self._take_field(line)
        # An unfinished line counts as well, so that the limit does not depend on the pieces. Bytes that may be a
        # byte order mark don't count.
        self._too_large = self._begun and self._size + len(self._line) > limit

    def _event_of_data(self) -> ServerSentEvent:
        # Decoded only now, because a character may be split between two pieces, but not between two lines.
        data = b"\n".join(self._data).decode("utf-8", "replace")
        return ServerSentEvent(
            data=data, event=self._event or "message", id=self._id, retry=self._event_retry
        )

    def _begin_event(self) -> None:
        # Only the id is kept for later events. A blank line confirms it even if the event has no data.
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
