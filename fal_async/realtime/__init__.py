"""Realtime: conversations with a model over a WebSocket (protocol 6).

`client.py` is `session.realtime`: `dialer.py` makes its handshakes, `tokens.py` gets their tokens.
`connection.py` is what a user sends and receives with; `reconnecting.py` is the connection below it, made again
when it is lost. `reader.py` and `message_queue.py` bring messages to the task that receives, `codec.py` decodes
them, and `pending_request.py` is the request that a lost connection fails.
"""

from fal_async.realtime.client import Realtime
from fal_async.realtime.connection import RealtimeConnection
from fal_async.realtime.tokens import RealtimeTokens

__all__ = ["Realtime", "RealtimeConnection", "RealtimeTokens"]
