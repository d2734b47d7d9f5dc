"""The client of the resident runner: every verb of the run protocol over one byte channel.

    open_channel(command) -> Channel      the main channel carries requests and answers, line by line
                          -> Channel …    a few short-lived ones carry bulk: large scripts, large output

`Runner` is a `transports.base.Session` without the connection below it: whoever owns the connection gives it a
way to open channels, and closes it when the connection ends.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

from transports.base import Output, Probe, RunId, RunState, RunStatus, SessionInfo, StartRequest
from transports.errors import (
    Conflict,
    ConnectionLost,
    NodeStorageFull,
    StartRefused,
    TransportError,
    UnsupportedShell,
)
from transports.runner import frames
from transports.runner.bulk import Bulk
from transports.runner.channel import Channel, OpenChannel
from transports.runner.frames import Answer, BadFrame, Seen
from transports.runner.loader import Greeting, PerlFailed, command, load, new_nonce
from transports.runner.node import perl, runner

__all__ = ["Channel", "Flavour", "OpenChannel", "Runner"]

_PATIENCE = 30.0
"""Seconds within which a runner answers anything. One that does not is given up."""
_GC_BATCH = 50
_LINE_LIMIT = 64 * 1024

Flavour = Literal["auto", "sh", "perl"]
"""In which language the runner is; `auto` is perl where the node has one that works."""


class Runner:
    """One resident runner on a node. Has every verb of `transports.base.Session`, with its guarantees."""

    def __init__(self, channel: Channel, bulk: Bulk, info: SessionInfo, rest: bytes) -> None:
        self.info = info
        self.on_end: Callable[[RunStatus], None] | None = None
        self.on_close: Callable[[], None] | None = None
        self._channel = channel
        self._bulk = bulk
        self._lost: ConnectionLost | None = None
        self._sequence = 0
        self._pending: dict[int, asyncio.Future[Answer]] = {}
        self._followers: dict[RunId, set[asyncio.Future[Seen]]] = {}
        self._sending = asyncio.Lock()
        self._listener = asyncio.create_task(self._listen(rest), name="runner-listen")

    @classmethod
    async def launch(
        cls,
        open_channel: OpenChannel,
        *,
        base_dir: str = ".vendetta",
        timeout: float = 20.0,
        shell: str = "/bin/sh",
        flavour: Flavour = "auto",
        channels: int = 4,
    ) -> "Runner":
        """Start a runner on the node and wait for its greeting, at most `timeout` seconds.

        `shell` is the node's POSIX shell (absolute path); `flavour` is the runner's language, by default perl where
        the node has it; `channels` bounds the short-lived channels that are
        open at once besides the main one. Raises `UnsupportedShell` when the login answers something else,
        `NodeStorageFull`, `Busy`, `ConnectionLost`, and `ValueError` for a base directory or shell that cannot be.
        """
        try:
            async with asyncio.timeout(timeout):
                channel, hello = await _come_up(open_channel, flavour, base=base_dir, sh=shell)
        except TimeoutError as e:
            raise UnsupportedShell(
                f"starting the runner: no greeting within {timeout:g} s. The login's shell must run POSIX sh "
                "commands, and its start-up files must not wait for input."
            ) from e
        except OSError as e:
            raise ConnectionLost(f"starting the runner: {e}") from e
        _, boot, language, install, directory = hello.words.split(" ", 4)
        bulk = Bulk(open_channel, shell=shell, directory=directory, channels=channels)
        info = SessionInfo(boot_id=boot, runner=f"sh/1 ({language})", install_id="" if install == "-" else install)
        return cls(channel, bulk, info, hello.rest)

    @property
    def closed(self) -> bool:
        """Whether this session is over."""
        return self._lost is not None

    # --- verbs

    async def start(self, request: StartRequest, *, wait: float = 0.0) -> RunStatus:
        """See `transports.base.Session.start`."""
        delivery, staged = new_nonce(), not frames.fits(request)
        frames.check_run(request.run)
        if staged:
            self._check_open()
            await self._bulk.stage(request, delivery)
        until = time.monotonic() + wait
        sequence, answer = self._expect()
        try:
            line = frames.start(sequence, request, nonce=delivery, ack=wait <= 0, staged=staged)
            await self._send(line)
            if wait > 0:
                await asyncio.wait((answer,), timeout=wait)
            seen = await self._claimed(request.run, answer, pause=0.0 if wait > 0 else 2.0)
            return (await self._follow(seen, until)).status
        finally:
            self._pending.pop(sequence, None)

    async def _claimed(self, run: RunId, answer: "asyncio.Future[Answer]", *, pause: float) -> Seen:
        """The first thing known about a run just delivered: what the node answers, or after `pause` a status."""
        limit = time.monotonic() + _PATIENCE
        while not answer.done():
            await asyncio.wait((answer,), timeout=pause)
            if answer.done():
                break
            seen = await self._seen("status", run)
            if seen.status.state is not RunState.ABSENT:
                return seen
            if time.monotonic() > limit:
                raise ConnectionLost(f"delivering run {run}: the node did not answer in {_PATIENCE:.0f} s")
            pause = min(2 * pause or 0.1, 2.0)
        return self._read_seen(answer.result())

    async def _follow(self, seen: Seen, until: float) -> Seen:
        """Wait for the end of a run that goes on, as long as that is still before `until`."""
        end: asyncio.Future[Seen] = asyncio.get_running_loop().create_future()
        run, pause = seen.status.run, 0.05
        followers = self._followers.setdefault(run, set())
        followers.add(end)
        try:
            while _goes_on(seen) and (left := until - time.monotonic()) > 0:
                await asyncio.wait((end,), timeout=min(pause, left))
                seen = end.result() if end.done() else await self._seen("status", run)
                pause = min(2 * pause, 1.0)
        finally:
            followers.discard(end)
            if not followers:
                self._followers.pop(run, None)
        return seen

    async def status(self, run: RunId) -> RunStatus:
        """See `transports.base.Session.status`."""
        return (await self._seen("status", frames.check_run(run))).status

    async def read(self, run: RunId, *, stdout: int, stderr: int, limit: int) -> Output:
        """See `transports.base.Session.read`."""
        seen = await self._seen("status", frames.check_run(run))
        out, err = seen.status.stdout.kept - stdout, seen.status.stderr.kept - stderr
        n, m = _shares(max(0, out), max(0, err), limit)
        if seen.status.inline is not None:
            whole = seen.status.inline
            return Output(stdout=whole[0][stdout : stdout + n], stderr=whole[1][stderr : stderr + m])
        if not seen.nonce or n + m == 0:
            return Output()
        return await self._bulk.fetch(f"{run}.{seen.nonce}", stdout=(stdout, n), stderr=(stderr, m))

    async def cancel(self, run: RunId) -> RunStatus:
        """See `transports.base.Session.cancel`."""
        return (await self._seen("cancel", frames.check_run(run))).status

    async def gc(self, runs: Sequence[RunId]) -> None:
        """See `transports.base.Session.gc`."""
        for i in range(0, len(runs), _GC_BATCH):
            await self._ask("gc", *map(frames.check_run, runs[i : i + _GC_BATCH]))

    async def probe(self) -> Probe:
        """See `transports.base.Session.probe`."""
        answer = await self._ask("probe")
        with self._strict():
            return frames.probe(answer.rest, boot_id=self.info.boot_id)

    async def ping(self) -> float:
        """Seconds for one round trip to the runner. Raises `ConnectionLost` when it does not answer."""
        began = time.monotonic()
        await self._ask("ping")
        return time.monotonic() - began

    async def aclose(self) -> None:
        """Close the main channel, idempotently. Runs on the node go on."""
        self._lose(ConnectionLost("the session was closed"))
        await asyncio.wait((self._listener,))
        await self._channel.aclose()

    # --- requests

    def _check_open(self) -> None:
        if self._lost is not None:
            raise ConnectionLost(str(self._lost))

    def _expect(self) -> "tuple[int, asyncio.Future[Answer]]":
        self._check_open()
        self._sequence += 1
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._pending[self._sequence] = future
        return self._sequence, future

    async def _send(self, line: bytes) -> None:
        try:
            async with asyncio.timeout(_PATIENCE), self._sending:
                self._check_open()
                await self._channel.write(line)
        except (OSError, TimeoutError, ConnectionLost) as e:
            self._lose(ConnectionLost(f"sending a request to the runner: {e!r}"))
            self._check_open()

    async def _ask(self, verb: str, *words: str) -> Answer:
        sequence, future = self._expect()
        try:
            await self._send(frames.request(sequence, verb, *words))
            async with asyncio.timeout(_PATIENCE):
                return self._refusal(await future)
        except TimeoutError as e:
            self._lose(ConnectionLost(f"the runner did not answer {verb} within {_PATIENCE:.0f} s"))
            raise ConnectionLost(str(self._lost)) from e
        finally:
            self._pending.pop(sequence, None)

    async def _seen(self, verb: str, run: RunId) -> Seen:
        return self._read_seen(await self._ask(verb, run))

    def _read_seen(self, answer: Answer) -> Seen:
        with self._strict():
            return frames.seen(self._refusal(answer).rest, boot_id=self.info.boot_id)

    @contextmanager
    def _strict(self) -> Iterator[None]:
        """A runner that talks nonsense is given up: nothing that it says can be relied on."""
        try:
            yield
        except BadFrame as e:
            lost = ConnectionLost(f"the runner's channel broke: {e}")
            self._lose(lost)
            raise lost from e

    def _refusal(self, answer: Answer) -> Answer:
        if answer.kind != "err":
            return answer
        code, _, text = answer.rest.partition(" ")
        detail = frames.sanitised(text.encode()) if text else "no reason given"
        if code == "conflict":
            raise Conflict(f"delivering run {text}: the node has a run of this id with other contents")
        if code == "nospace":
            raise NodeStorageFull(f"delivering a run: no space on the node for its files: {detail}")
        if code == "start":
            raise StartRefused(f"delivering a run: the node could not start it: {detail}")
        raise TransportError(f"the runner answered {code}: {detail}")

    # --- answers

    async def _listen(self, rest: bytes) -> None:
        try:
            await self._lines(rest)
            self._lose(ConnectionLost("the runner's channel ended"))
        except (OSError, ConnectionLost, BadFrame) as e:
            self._lose(ConnectionLost(f"the runner's channel broke: {e}"))
        finally:
            await self._channel.aclose()

    async def _lines(self, got: bytes) -> None:
        while True:
            *lines, got = got.split(b"\n")
            for line in lines:
                self._dispatch(frames.answer(line))
            if len(got) > _LINE_LIMIT:
                raise BadFrame("an endless line")
            if not (data := await self._channel.read(65536)):
                return
            got += data

    def _dispatch(self, answer: Answer) -> None:
        future = self._pending.get(answer.sequence)
        if future is not None and not future.done():
            future.set_result(answer)
        if answer.kind != "end":
            return
        seen = frames.seen(answer.rest, boot_id=self.info.boot_id)
        for follower in self._followers.get(seen.status.run, ()):
            if not follower.done():
                follower.set_result(seen)
        if self.on_end is not None and not _goes_on(seen):
            self.on_end(seen.status)

    def _lose(self, why: ConnectionLost) -> None:
        if self._lost is not None:
            return
        self._lost = why
        if asyncio.current_task() is not self._listener:
            self._listener.cancel()
        for future in self._pending.values():
            if not future.done():
                future.set_exception(ConnectionLost(str(why)))
                future.exception()  # nobody may be waiting for it any more
        if self.on_close is not None:
            self.on_close()


async def _come_up(open_channel: OpenChannel, flavour: Flavour, *, base: str, sh: str) -> tuple[Channel, Greeting]:
    """Open the main channel and wait for its greeting; once more, for sh, if the node has a perl that is unfit."""
    channel = await open_channel(command(sh))
    more = b"" if flavour == "sh" else perl().plain
    try:
        hello = await load(
            channel, runner(), more, base=base, sha=runner().sha, sh=sh, prefer=flavour, left=len(more)
        )
    except BaseException as e:
        await channel.aclose()
        if flavour == "auto" and isinstance(e, PerlFailed):
            return await _come_up(open_channel, "sh", base=base, sh=sh)
        raise
    return channel, hello


def _goes_on(seen: Seen) -> bool:
    return seen.status.state in (RunState.RUNNING, RunState.ORPHAN)


def _shares(out: int, err: int, limit: int) -> tuple[int, int]:
    """How much of each stream goes into one answer: neither starves the other."""
    n = min(out, max(limit - err, limit // 2))
    return n, min(err, limit - n)
