"""The event stream: what happens to nodes and commands, told to browsers and programs as it happens (contract E).

One task follows the store and appends each announced change, encoded once, to one bounded log; a client is a place
in that log and nothing more. See `docs/designs/event-stream.md`.
"""

from api.stream.broadcaster import Broadcaster
from api.stream.routes import paths, refuse_collision, websocket_routes

__all__ = ["Broadcaster", "paths", "refuse_collision", "websocket_routes"]
