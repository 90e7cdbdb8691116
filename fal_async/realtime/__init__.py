"""Realtime: conversations with a model over a WebSocket (protocol 6).

`client.py` has `fal.realtime`. `dialer.py` makes the handshakes, with the tokens that `tokens.py` gets.
`connection.py` has the user's connection. It uses `reconnecting.py`, which replaces the WebSocket when it is lost.
`reader.py` and `message_queue.py` deliver messages to the task that receives, and `codec.py` decodes them.
`pending_request.py` records the call of `request` that waits for its answer, and `lost_answers.py` reports messages
that will not be answered, because their connection was lost.
"""

from fal_async.realtime.client import Realtime
from fal_async.realtime.connection import RealtimeConnection
from fal_async.realtime.tokens import RealtimeTokens

__all__ = ["Realtime", "RealtimeConnection", "RealtimeTokens"]
