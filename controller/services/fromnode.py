"""Makes a check from the node itself: one run through the run protocol, which leaves nothing behind there."""

import secrets
import shlex
from collections import defaultdict

from controller.dispatch import Dispatcher
from controller.resources.node import Node
from controller.resources.service import Check, Service
from controller.services.node import script
from controller.services.targets import place_of, request_of
from transports.base import FLEETING, RunId, RunState, RunStatus, Session, StartRequest, StopReason
from transports.checks import HTTPRequest, Outcome, Place
from transports.errors import TransportError
from transports.script import ScriptInvalid, compose

OUTPUT_CAP = 262_144
GRACE = 1.0
ANSWER_LIMIT = 2.0
"""Seconds beyond a check's own time within which its node says how it ended."""
NOTHING_TO_ASK_WITH = 69
LONGEST_LINE = 200
MOST_LEFT = 256


class FromNode:
    """Runs checks on nodes, over the connections that are open. Never opens one."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher
        self._over: defaultdict[str, list[RunId]] = defaultdict(list)

    def is_there(self, node: Node) -> bool:
        """Whether the node can be asked at this moment."""
        try:
            return not self._dispatcher.session(node).closed
        except TransportError:
            return False

    async def check(self, node: Node, service: Service, check: Check) -> Outcome:
        """How the service answers its check there. Raises NoTarget."""
        try:
            text = script_for(node, service, check)
            status = await self.run(node, text, timeout=check.limit)
        except ScriptInvalid as error:
            return Outcome(good=None, message=str(error), lasting=True)
        except (TransportError, TimeoutError) as error:
            why = error.reason if isinstance(error, TransportError) else "it does not answer"
            return Outcome(good=None, message=f"the node cannot be asked: {why}")
        return _outcome(status, check)

    async def run(self, node: Node, text: bytes, *, timeout: float) -> RunStatus:
        """How a script ended on the node. What earlier ones left there is dropped. Raises TransportError."""
        session = self._dispatcher.session(node)
        run = RunId(f"{FLEETING}{secrets.token_hex(16)[len(FLEETING) :]}.1")
        request = StartRequest(run=run, script=text, timeout=timeout, grace=GRACE, output_cap=OUTPUT_CAP)
        await self._clean(node.uid, session)
        try:
            return await session.start(request, wait=timeout + GRACE + ANSWER_LIMIT)
        finally:
            self._over[node.uid] = [*self._over[node.uid][-MOST_LEFT:], run]

    async def output(self, node: Node, text: bytes, *, timeout: float) -> bytes:
        """What a script that ends well writes on the node, as far as it is kept. Raises TransportError."""
        status = await self.run(node, text, timeout=timeout)
        if status.inline is not None:
            return status.inline[0][:OUTPUT_CAP]
        return (await self._dispatcher.session(node).read(status.run, stdout=0, stderr=0, limit=OUTPUT_CAP)).stdout

    def forget(self, node_uid: str) -> None:
        """Drop a node that is gone."""
        self._over.pop(node_uid, None)

    async def _clean(self, node_uid: str, session: Session) -> None:
        if over := self._over.pop(node_uid, None):
            await session.gc(over)


def script_for(node: Node, service: Service, check: Check) -> bytes:
    """What the node runs for a check. Raises NoTarget and ScriptInvalid."""
    if check.exec is not None:
        return compose(argv=check.exec).script
    if check.http is not None:
        request = request_of(node, service, check.http, here="localhost")
        return f"{_http(request, check.limit)}\n{script('check')}".encode()
    place = place_of(node, service, here="localhost")
    return f"{_set(place, kind='tcp', seconds=check.limit)}\n{script('check')}".encode()


def _http(request: HTTPRequest, seconds: float) -> str:
    kind = "https" if request.tls else "http"
    headers = {"Host": request.host, "User-Agent": "vendetta", **request.headers}
    lines = [f"GET {request.path} HTTP/1.0", *(f"{k}: {v}" for k, v in headers.items()), "Connection: close"]
    raw = "".join(f"{_printf(line)}\\r\\n" for line in [*lines, ""])
    host = f"[{request.place.address}]" if ":" in request.place.address else request.place.address
    url = f"{kind}://{host}:{request.place.port}{request.path}"
    flags = "-g -k" if request.insecure else "-g"
    options = [word for k, v in headers.items() for word in ("-H", f"{k}: {v}")]
    words = _set(request.place, kind=kind, seconds=seconds, url=url, flags=flags, raw=raw)
    return f"{words}; set -- {shlex.join(options)}"


def _set(place: Place, *, seconds: float, **words: str) -> str:
    named = {"host": place.address, "port": place.port, "seconds": max(1, int(seconds)), **words}
    return "; ".join(f"v_{name}={shlex.quote(str(value))}" for name, value in named.items())


def _printf(line: str) -> str:
    return line.replace("\\", "\\\\")


def _outcome(status: RunStatus, check: Check) -> Outcome:
    latency = None if status.duration is None else status.duration / 1e9
    if status.state is not RunState.DONE or status.exit_code is None:
        return Outcome(good=None, message="how the check ended on the node is not known")
    if status.stop is not StopReason.NONE:
        return Outcome(good=False, message=f"no answer within {check.limit:g} s", latency=latency)
    line = _first_line(status)
    if check.exec is not None:
        said = f"exit code {status.exit_code}" + (f": {line}" if line else "")
        return Outcome(good=status.exit_code == 0, message=said, latency=latency)
    if status.exit_code == NOTHING_TO_ASK_WITH:
        return Outcome(good=None, message="the node has nothing to ask with: install curl or perl", lasting=True)
    if status.exit_code != 0:
        return Outcome(good=False, message="no answer on the node", latency=latency)
    if check.http is None:
        return Outcome(good=True, message="connected on the node", latency=latency)
    return _judged(line, check.http.status, latency)


def _judged(line: str, statuses: tuple[int, ...], latency: float | None) -> Outcome:
    if not line.isdecimal() or not 100 <= int(line) <= 599:
        return Outcome(good=False, message="its answer is no HTTP", latency=latency)
    good = int(line) in statuses if statuses else 200 <= int(line) < 300
    return Outcome(good=good, message=f"status {int(line)}, asked on the node", latency=latency)


def _first_line(status: RunStatus) -> str:
    """What the check said first, where that came with the answer; without anything that a terminal obeys."""
    out = b"".join(status.inline or ()).lstrip().split(b"\n", 1)[0]
    return "".join(c if c.isprintable() else " " for c in out[:LONGEST_LINE].decode(errors="replace")).strip()
