"""Collecting output: from the node's files into the output log, by offset, so that nothing is lost or repeated.

The offset to read from is what the log holds already; it moves in the same transaction as the bytes.
"""

from controller.metrics import Metrics
from controller.reconcilers.runs import run_id
from controller.resources.command import Command
from controller.runtime.clock import Clock
from controller.runtime.failpoint import Failpoint
from controller.store.base import Append, Store, Stream
from transports.base import RunStatus, Session

PIECE = 1 << 20
ROUND = 4 << 20


class Collector:
    """Fetches what a run has written."""

    def __init__(self, store: Store, clock: Clock, metrics: Metrics, failpoint: Failpoint) -> None:
        self._store = store
        self._clock = clock
        self._metrics = metrics
        self._failpoint = failpoint

    async def collect(self, command: Command, session: Session, status: RunStatus, *, ended: bool = False) -> bool:
        """Fetch and store up to 4 MiB of what is missing; True when there is more to fetch.

        Output that came inline with a final answer is left for `last`, to be stored together with the result.
        """
        if ended and self._inline(command, status):
            return False
        fetched = 0
        while fetched < ROUND:
            out, err = self._store.output_sizes(command.uid)
            if out >= status.stdout.kept and err >= status.stderr.kept:
                return False
            piece = await session.read(run_id(command), stdout=out, stderr=err, limit=PIECE)
            appends = self._appends(command, {"stdout": (out, piece.stdout), "stderr": (err, piece.stderr)})
            if not appends:
                return False
            await self._store.write(*appends)
            self._failpoint("output.stored")
            size = sum(len(a.data) for a in appends)
            self._metrics.output_bytes.inc(size)
            fetched += size
        return True

    def last(self, command: Command, status: RunStatus) -> tuple[tuple[Append, ...], bool]:
        """What is to be stored with the result, and whether bytes that the node once had could not be fetched."""
        out, err = self._store.output_sizes(command.uid)
        if self._inline(command, status) and status.inline is not None:
            stdout, stderr = status.inline
            self._metrics.output_bytes.inc(len(stdout) + len(stderr))
            return self._appends(command, {"stdout": (0, stdout), "stderr": (0, stderr)}), False
        return (), out < status.stdout.kept or err < status.stderr.kept

    def _inline(self, command: Command, status: RunStatus) -> bool:
        return status.inline is not None and self._store.output_sizes(command.uid) == (0, 0)

    def _appends(self, command: Command, pieces: dict[Stream, tuple[int, bytes]]) -> tuple[Append, ...]:
        now = self._clock.now()
        return tuple(
            Append(command_uid=command.uid, stream=stream, offset=offset, data=data, at=now)
            for stream, (offset, data) in pieces.items()
            if data
        )
