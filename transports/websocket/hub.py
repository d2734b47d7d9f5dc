"""The server's end of connections that agents dialled: who is there, and the verbs that they are asked.

    hub.serve(node, uid, socket)     for as long as the connection lasts
    hub.dialled(node)                the live connection of a node, or None

A node has one connection. A second one of the same machine (the same install id) replaces the first, which may be
dead without knowing; one of another machine is refused while the first still answers.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, Protocol

import structlog

from transports.base import RunStatus, SessionInfo
from transports.errors import ConnectionLost, TransportError, described
from transports.verbs import Start, Verb, checked, dump_verb, load_answer
from transports.websocket.messages import Answered, Asked, Ended, Heartbeat, Hello, decode, encode
from transports.wire import Malformed

log = structlog.get_logger(__name__)

HELLO_PATIENCE: Final = 20.0
"""Seconds for an agent to say who it is: its runner has to come up first."""
PATIENCE: Final = 40.0
"""Seconds for an answer, beyond what the verb itself may wait."""
LONGEST_HEARTBEAT: Final = 60.0
BACKLOG: Final = 64
"""Verbs under way at a time on one connection; further ones wait here."""
STOPPING: Final = 1012
MALFORMED: Final = 1007
SILENT: Final = 4008
TAKEN: Final = 4009
REPLACED: Final = 4010


class Gone(Exception):
    """The peer has closed the connection, or it broke."""


class Socket(Protocol):
    """A WebSocket, as the hub needs it."""

    async def receive(self) -> str:
        """The next text frame. Raises Gone."""

    async def send(self, text: str, /) -> None:
        """Send a text frame; may wait for the peer. Raises Gone."""

    async def close(self, code: int, reason: str) -> None:
        """Close, idempotently."""


class Dialled:
    """One connection of an agent that said hello."""

    def __init__(self, node: str, uid: str, socket: Socket, hello: Hello) -> None:
        self.node = node
        self.uid = uid
        self.info: SessionInfo = hello.info
        self.version = hello.version
        self.on_end: Callable[[RunStatus], None] | None = None
        self.on_close: Callable[[], None] | None = None
        self._socket = socket
        self._silence = 3 * min(max(hello.heartbeat, 1.0), LONGEST_HEARTBEAT)
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._last_id = 0
        self._slots = asyncio.Semaphore(BACKLOG)
        self._lost: ConnectionLost | None = None
        self._heard = asyncio.get_running_loop().time()

    @property
    def machine(self) -> tuple[str, str]:
        """What tells two machines apart: the id of the node's files, empty where there is none, and the boot id."""
        return self.info.install_id, self.info.boot_id

    @property
    def closed(self) -> bool:
        """Whether this connection is over."""
        return self._lost is not None

    @property
    def is_quiet(self) -> bool:
        """Whether a heartbeat is overdue."""
        return asyncio.get_running_loop().time() - self._heard > self._silence / 2

    async def ask(self, verb: Verb) -> Any:
        """What the agent answers. Raises what it raised; ConnectionLost when it may or may not have heard."""
        limit = PATIENCE + (verb.wait if isinstance(verb, Start) else 0.0)
        try:
            async with asyncio.timeout(limit), self._slots:
                return load_answer(verb, await self._exchange(verb))
        except TimeoutError:
            raise ConnectionLost(
                f"the agent of node {self.node} did not answer {verb.verb} in {limit:.0f} s"
            ) from None

    async def _exchange(self, verb: Verb) -> Any:
        if self._lost is not None:
            raise ConnectionLost(str(self._lost))
        self._last_id += 1
        number = self._last_id
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            await self._socket.send(encode(Asked(id=number, body=dump_verb(verb))))
            return await answer
        except Gone as error:
            raise ConnectionLost(f"the connection of node {self.node}'s agent ended: {error}") from error
        finally:
            self._waiting.pop(number, None)

    async def listen(self) -> None:
        """Take what comes until the connection ends."""
        try:
            while True:
                async with asyncio.timeout(self._silence):
                    message = decode(await self._socket.receive())
                self._heard = asyncio.get_running_loop().time()
                self._take(message)
        except TimeoutError:
            await self.end(SILENT, f"nothing was heard for {self._silence:.0f} s")
        except Malformed as error:
            await self.end(MALFORMED, f"the agent makes no sense: {error}")
        except Gone as error:
            self._lose(str(error))

    def _take(self, message: object) -> None:
        match message:
            case Answered():
                waiting = self._waiting.get(message.id)
                if waiting is not None and not waiting.done():
                    waiting.set_result(message.body)
            case Ended():
                status = checked(message.status)
                if self.on_end is not None:
                    self.on_end(status)
            case Heartbeat():
                pass
            case _:
                raise Malformed("a message that does not belong here")

    async def end(self, code: int, reason: str) -> None:
        """Close the connection from this side."""
        self._lose(reason)
        with suppress(Gone):
            await self._socket.close(code, reason[:120])

    def _lose(self, why: str) -> None:
        if self._lost is not None:
            return
        self._lost = ConnectionLost(f"the connection of node {self.node}'s agent ended: {why}")
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(ConnectionLost(str(self._lost)))
                waiting.exception()  # nobody may be waiting for it any more
        if self.on_close is not None:
            self.on_close()


class Hub:
    """All live connections, by node name."""

    def __init__(self) -> None:
        self._live: dict[str, Dialled] = {}
        self._stopping = False
        self._ending: set[asyncio.Task[None]] = set()
        self.on_change: Callable[[str, str], None] = lambda node, uid: None
        """Told the name and uid of a node whose agent has come or gone."""
        self.is_taken: Callable[[Dialled], bool] = lambda new: False
        """Whether another machine is connected to another server as the node of this new connection."""

    def dialled(self, node: str) -> Dialled | None:
        """The node's live connection."""
        return self._live.get(node)

    def __len__(self) -> int:
        return len(self._live)

    async def serve(self, node: str, uid: str, socket: Socket) -> None:
        """Serve one connection, from its hello to its end."""
        try:
            async with asyncio.timeout(HELLO_PATIENCE):
                hello = decode(await socket.receive())
            if isinstance(hello, Hello):
                checked(hello.info)
        except (TimeoutError, Malformed, Gone) as error:
            await _close(socket, MALFORMED, f"no hello came: {described(error)}")
            return
        if not isinstance(hello, Hello):
            await _close(socket, MALFORMED, "a hello comes first")
            return
        await self._admit(Dialled(node, uid, socket, hello))

    async def _admit(self, new: Dialled) -> None:
        old = self._live.get(new.node)
        if self._stopping:
            await new.end(STOPPING, "the server is stopping")
            return
        here = old is not None and old.uid == new.uid and not old.is_quiet and _elsewhere(old, new)
        if here or self.is_taken(new):
            log.warning("another machine dials in as a node that is connected", node=new.node)
            await new.end(TAKEN, f"another machine is connected as node {new.node}")
            return
        self._live[new.node] = new
        if old is not None:
            await old.end(REPLACED, "the agent has dialled in anew")
        log.info("agent connected", node=new.node, version=new.version)
        self.on_change(new.node, new.uid)
        try:
            await new.listen()
        finally:
            await self._left(new)

    async def _left(self, gone: Dialled) -> None:
        await gone.end(STOPPING, "the connection is over")
        if self._live.get(gone.node) is gone:
            del self._live[gone.node]
            log.info("agent disconnected", node=gone.node)
            self.on_change(gone.node, gone.uid)

    def forget(self, node: str, uid: str) -> None:
        """The node is gone: end its connection, in the background."""
        live = self._live.get(node)
        if live is not None and live.uid == uid:
            self._end(live, TAKEN, f"node {node} is gone")

    def overtaken(self, node: str) -> None:
        """Its agent has dialled in to another server since: end this connection, in the background."""
        if live := self._live.get(node):
            self._end(live, REPLACED, "the agent has dialled in anew")

    def _end(self, live: Dialled, code: int, reason: str) -> None:
        task = asyncio.create_task(live.end(code, reason), name=f"end:{live.node}")
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def aclose(self) -> None:
        """End all connections; the agents come back to whoever serves next."""
        self._stopping = True
        await asyncio.gather(*(live.end(STOPPING, "the server is stopping") for live in tuple(self._live.values())))


def _elsewhere(old: Dialled, new: Dialled) -> bool:
    known = bool(old.info.install_id and new.info.install_id)
    return known and old.machine != new.machine


async def _close(socket: Socket, code: int, reason: str) -> None:
    with suppress(Gone, TransportError):
        await socket.close(code, reason[:120])
