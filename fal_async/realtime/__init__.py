"""Realtime: conversations with a model over a WebSocket (protocol 6).

`client.py` is `fal.realtime`. `dialer.py` makes its handshakes, and `tokens.py` gets their tokens.
`connection.py` is the user's connection. Below it, `reconnecting.py` replaces the WebSocket when it is lost.
`reader.py` and `message_queue.py` deliver messages to the receiving task, and `codec.py` decodes them.
`pending_request.py` is the request that fails when its connection is lost, and `lost_answers.py` reports messages
whose answers are lost.
"""

from fal_async.realtime.client import Realtime
from fal_async.realtime.connection import RealtimeConnection
from fal_async.realtime.tokens import RealtimeTokens

__all__ = ["Realtime", "RealtimeConnection", "RealtimeTokens"]
