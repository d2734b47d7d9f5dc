"""Commands: from accepted to a final status, at most once (contract C-7, C-9).

What to do is decided by `controller.decide`, purely; here it is done: fetch, ask the node, take one step, write the
status once. Whatever is written is written before the step that depends on it, so that a server killed anywhere
finds out where it stood.
"""

from datetime import datetime, timedelta

import structlog

from controller.decide import Answer, Do, Known, Nothing, Seen, Sent, Silence, Step, decide
from controller.dispatch import Connecting, Dispatcher
from controller.duration import SECOND
from controller.followers import Followers
from controller.freeze import Freeze
from controller.lanes import Lanes
from controller.metrics import Metrics
from controller.reconcilers.collect import Collector
from controller.reconcilers.runs import run_id
from controller.reconcilers.verdict import NOT_REPORTED, CommandStatusWriter, finished, held, running, sending
from controller.resources.command import Command, CommandStatus
from controller.resources.node import Node
from controller.runtime.clock import Clock
from controller.runtime.failpoint import Failpoint
from controller.runtime.reconcile import Result
from controller.scripts import script_of
from controller.shares import Shares
from controller.store.base import Store
from controller.timeline import seconds, timeline
from controller.tracecontext import environment_of
from transports.base import RunState, RunStatus, Session, StartRequest
from transports.errors import Conflict, NodeStorageFull, Refused, Rejected, TransportError
from transports.script import ScriptInvalid

log = structlog.get_logger(__name__)

INLINE_WAIT = 0.25
POLL_FIRST, POLL_MOST = 0.5, 1.0
POLL_LIVE = 0.25
RETRY_SOON = 0.2
LATE_LOOK = 5.0
LONGEST_HOLD = 30.0


class CommandReconciler:
    """One step for one command."""

    def __init__(
        self,
        *,
        store: Store,
        dispatcher: Dispatcher,
        lanes: Lanes,
        freeze: Freeze,
        followers: Followers,
        shares: Shares,
        clock: Clock,
        metrics: Metrics,
        node_timeout: float,
        output_cap: int,
        failpoint: Failpoint,
    ) -> None:
        self._store = store
        self._dispatcher = dispatcher
        self._lanes = lanes
        self._freeze = freeze
        self._followers = followers
        self._shares = shares
        self._clock = clock
        self._metrics = metrics
        self._node_timeout = timedelta(seconds=node_timeout)
        self._start = clock.now()
        self._output_cap = output_cap
        self._failpoint = failpoint
        self._write = CommandStatusWriter(store)
        self._collector = Collector(store, clock, metrics, failpoint)

    async def reconcile(self, name: str) -> Result:
        """Take one step for the command of that name."""
        command = self._store.get("Command", name)
        if not isinstance(command, Command) or not self._shares.mine(command.spec.node):
            return Result()
        node = self._node_of(command)
        if command.ended:
            return await self._settle(command, node)
        if node is None:
            step = Step(do=Do.FINISH, phase="unknown", reason="NodeDeleted")
            return await self._finish(command, step, f"node {command.spec.node} was deleted")
        if command.handed_out:
            return await self._await_report(command)
        known = self._known(command, node)
        step = decide(known, Nothing(), self._clock.now())
        if step.do in {Do.FINISH, Do.HOLD}:
            return await self._take(command, node, known, step)
        return await self._with_session(command, node, step)

    # -- what is known ---------------------------------------------------------------------------------------------

    def _node_of(self, command: Command) -> Node | None:
        """The node that the command was meant for: not another one that was given its name later."""
        node = self._store.get("Node", command.spec.node)
        if not isinstance(node, Node):
            return None
        delivery = command.status.delivery
        return node if delivery is None or delivery.node_uid == node.uid else None

    def _known(self, command: Command, node: Node) -> Known:
        admitted, held_by = self._admission(command, node)
        delivery = command.status.delivery
        sent = Sent.NEVER
        if delivery is not None and delivery.boot_id is not None:
            sent = Sent.CLAIMED if delivery.acked else Sent.UNANSWERED
        return Known(
            sent=sent,
            boot_id=delivery.boot_id if delivery is not None else None,
            deliver_by=_accepted(command) + _nanoseconds(command.spec.params.delivery_timeout),
            lost_by=self._lost_by(command) if sent is not Sent.NEVER else None,
            cancel=command.spec.cancel,
            admitted=admitted,
            held_by=held_by,
            moved=delivery is not None and self._dispatcher.is_elsewhere(node, delivery),
        )

    def _admission(self, command: Command, node: Node) -> tuple[bool, str]:
        if node.spec.unschedulable and not command.spec.params.force:
            return False, "NodeCordoned"
        if self._freeze.frozen:
            return False, "Frozen"
        return self._lanes.admitted(command, cordoned=node.spec.unschedulable), "Queued"

    def _lost_by(self, command: Command) -> datetime:
        """When the outcome is unknown because the node was sent something and is not heard of.

        A server that did not work on the node before gives it its time.
        """
        params, started = command.spec.params, command.status.started
        if started is None:
            overdue = _accepted(command) + _nanoseconds(params.delivery_timeout)
        else:
            overdue = started + _nanoseconds(params.timeout + params.grace) + self._node_timeout
        return max(overdue, self._shares.since(command.spec.node, self._start) + self._node_timeout)

    # -- one step --------------------------------------------------------------------------------------------------

    async def _with_session(self, command: Command, node: Node, step: Step) -> Result:
        try:
            session = self._dispatcher.session(node, connect_timeout=command.spec.params.connect_timeout)
        except Connecting as error:
            return await self._unanswered(command, node, error, hold=LONGEST_HOLD)
        except TransportError as error:
            return await self._unanswered(command, node, error)
        try:
            if step.do is Do.SEND:
                return await self._send(command, node, session)
            return await self._answered(command, node, session, await session.status(run_id(command)))
        except TransportError as error:
            return await self._unanswered(command, node, error, hold=RETRY_SOON, permanent=False)

    async def _unanswered(
        self,
        command: Command,
        node: Node,
        error: TransportError,
        *,
        hold: float | None = None,
        permanent: bool = True,
    ) -> Result:
        """No answer. Judged by what is stored now, for this very reconcile may have sent something."""
        newest = self._store.get("Command", command.name)
        if not isinstance(newest, Command) or newest.uid != command.uid or newest.ended:
            return Result()
        if newest.handed_out:
            return Result(requeue_after=0)
        known = self._known(newest, node)
        seen = Silence(reason=error.reason, permanent=permanent and isinstance(error, Refused))
        step = decide(known, seen, self._clock.now())
        if step.do is Do.FINISH or hold is None:
            return await self._take(newest, node, known, step, str(error))
        return self._hold_until(newest, known, hold)

    async def _take(self, command: Command, node: Node, known: Known, step: Step, message: str = "") -> Result:
        """Do what needs no session: finish, or hold on."""
        if step.do is Do.FINISH:
            return await self._finish(command, step, message)
        await self._write(command, held(command, step, message, self._clock.now()))
        wait = LONGEST_HOLD if not known.admitted else max(RETRY_SOON, self._dispatcher.retry_in(node))
        return self._hold_until(command, known, wait)

    async def _answered(
        self, command: Command, node: Node, session: Session, status: RunStatus, *, waited: float = 0.0
    ) -> Result:
        """Act on an answer. `waited`: the seconds for which the node kept it back after the claim."""
        known = self._known(command, node)
        step = decide(known, _answer(status), self._clock.now())
        match step.do:
            case Do.SEND:
                return await self._send(command, node, session)
            case Do.CANCEL:
                return await self._cancel(command, session, step)
            case Do.OBSERVE:
                return await self._observe(command, session, status, waited)
            case _:
                return await self._record(command, session, status, step)

    async def _send(self, command: Command, node: Node, session: Session) -> Result:
        """Write the intent, then deliver. A start that is not answered is asked about, never assumed."""
        first = command.status.delivery is None or command.status.delivery.boot_id is None
        try:
            request = self._request(command)
        except (Refused, ScriptInvalid) as error:
            return await self._refused(command, error, final=first)
        way = self._dispatcher.way_to(node)
        self._failpoint("delivery.decided")
        command = await self._write(command, sending(command, node.uid, way, session.info.boot_id, self._clock.now()))
        if command.ended or command.handed_out:
            return Result(requeue_after=0)
        self._failpoint("delivery.intended")
        try:
            answer = await session.start(request, wait=INLINE_WAIT)
        except TransportError as error:
            self._metrics.deliveries.labels(way.transport, error.reason).inc()
            if isinstance(error, Conflict | NodeStorageFull | Rejected):
                return await self._refused(command, error, final=first)
            log.info("delivery not confirmed", command=command.name, node=node.name, reason=error.reason)
            raise
        self._metrics.deliveries.labels(way.transport, "Claimed").inc()
        self._failpoint("delivery.answered")
        return await self._answered(command, node, session, answer, waited=INLINE_WAIT)

    async def _refused(self, command: Command, error: Exception, *, final: bool) -> Result:
        """A refusal ends the command only if nothing was ever sent before: else an earlier start may have arrived."""
        if not final:
            return Result(requeue_after=RETRY_SOON)
        reason = error.reason if isinstance(error, TransportError) else "AuthFailed"
        step = Step(do=Do.FINISH, phase="error", reason=reason, certainty="confirmed")
        return await self._finish(command, step, str(error))

    def _request(self, command: Command) -> StartRequest:
        params = command.spec.params
        script = script_of(command.spec, self._dispatcher.secret, environment_of(command))
        return StartRequest(
            run=run_id(command),
            script=script.script,
            stdin=script.stdin,
            timeout=params.timeout / SECOND,
            grace=params.grace / SECOND,
            output_cap=self._output_cap,
        )

    async def _cancel(self, command: Command, session: Session, step: Step) -> Result:
        status = await session.cancel(run_id(command))
        self._failpoint("cancel.answered")
        if status.state in {RunState.DONE, RunState.TOMBSTONE}:
            return Result(requeue_after=0)
        if step.phase == "running":
            await self._write(command, running(command, step.reason, self._clock.now()))
        return Result(requeue_after=RETRY_SOON)

    async def _observe(self, command: Command, session: Session, status: RunStatus, waited: float) -> Result:
        """The run goes on: note that it was claimed, fetch what it has written, look again."""
        now = self._clock.now()
        if command.status.phase != "running" or command.status.reason != "Claimed":
            before, claimed = command, now - timedelta(seconds=waited)
            command = await self._write(command, running(command, "Claimed", now, claimed=claimed))
            self._note_delivery(before, command.status)
            self._failpoint("claim.stored")
        more = await self._collector.collect(command, session, status)
        if more:
            return Result(requeue_after=0)
        if self._followers.follow(command):
            return Result(requeue_after=POLL_LIVE)
        age = max(0.0, (now - (command.status.started or now)).total_seconds())  # a clock may have been set back
        return Result(requeue_after=min(POLL_MOST, POLL_FIRST + age / 10))

    async def _record(self, command: Command, session: Session, status: RunStatus, step: Step) -> Result:
        """The run is over: everything that it wrote is stored before, or together with, its result."""
        heard = self._clock.now()
        if status.state is RunState.DONE and await self._collector.collect(command, session, status, ended=True):
            return Result(requeue_after=0)
        appends, lost = self._collector.last(command, status)
        verdict = await finished(
            self._store, command, step, self._clock.now(), status=status, appends=appends, heard=heard
        )
        if lost:
            verdict = verdict.model_copy(update={"truncated": True, "output_bytes_exact": False})
        self._failpoint("result.known")
        written = await self._write(command, verdict, *appends)
        self._failpoint("result.stored")
        self._note_delivery(command, verdict)
        self._account(written, verdict)
        return Result()

    async def _finish(self, command: Command, step: Step, message: str) -> Result:
        """End a command without an answer from its node."""
        verdict = await finished(self._store, command, step, self._clock.now(), message=message)
        self._account(await self._write(command, verdict), verdict)
        return Result()

    def _note_delivery(self, before: Command, after: CommandStatus) -> None:
        """Measure how long the claim took, when it is first known."""
        if before.status.started is None and after.started is not None:
            seconds = (after.started - _accepted(before)).total_seconds()
            self._metrics.command_delivery.observe(seconds, {"uid": before.uid})

    def _account(self, command: Command, verdict: CommandStatus) -> None:
        """Count and log an end, unless somebody else was first and the command has theirs."""
        if command.status != verdict:
            return
        phase, reason = verdict.phase, verdict.reason
        self._metrics.commands_finished.labels(phase, reason).inc()
        if verdict.duration is not None:
            self._metrics.command_duration.labels(phase).observe(verdict.duration / SECOND, {"uid": command.uid})
        if not verdict.late:
            self._metrics.command_phases.add(seconds(timeline(command)))
        log.info("command ended", command=command.name, node=command.spec.node, status=phase, reason=reason)

    async def _await_report(self, command: Command) -> Result:
        """Its agent reports by itself (C-13), or does not: then the outcome is unknown when its time is over."""
        now = self._clock.now()
        left = (self._lost_by(command) - now).total_seconds()
        if left <= 0:
            step = Step(do=Do.FINISH, phase="unknown", reason="DeliveryUnconfirmed")
            return await self._finish(command, step, NOT_REPORTED)
        if command.spec.cancel and command.status.reason != "Cancelling":
            await self._write(command, running(command, "Cancelling", now))
        return Result(requeue_after=min(left, LONGEST_HOLD))

    # -- afterwards ------------------------------------------------------------------------------------------------

    async def _settle(self, command: Command, node: Node | None) -> Result:
        """An unknown outcome is corrected when the node can be asked again (contract C-9)."""
        delivery = command.status.delivery
        if command.status.phase != "unknown" or node is None or delivery is None or delivery.boot_id is None:
            return Result()
        try:
            session = self._dispatcher.session(node)
            status = await session.status(run_id(command))
            if self._known(command, node).moved and status.state in {RunState.ABSENT, RunState.TOMBSTONE}:
                return Result()  # perhaps another machine: that it never heard of the run says nothing
            if status.state is RunState.ABSENT and status.boot_id == delivery.boot_id and not delivery.acked:
                status = await session.cancel(run_id(command))
        except TransportError:
            return Result()
        if status.state in {RunState.RUNNING, RunState.ORPHAN}:
            return Result(requeue_after=LATE_LOOK)
        step = decide(self._known(command, node), _answer(status), self._clock.now())
        if step.do is not Do.FINISH or step.phase == "unknown":
            return Result()
        return await self._record(command, session, status, step)

    def _hold_until(self, command: Command, known: Known, seconds: float) -> Result:
        """Look again after `seconds`, or when a deadline passes before that."""
        deadline = known.deliver_by if known.sent is Sent.NEVER else known.lost_by
        left = (deadline - self._clock.now()).total_seconds() if deadline is not None else seconds
        return Result(requeue_after=min(seconds, left) if left > 0 else seconds)


def _accepted(command: Command) -> datetime:
    at = command.status.queued or command.metadata.creation_timestamp
    assert at is not None, "the store stamps every object"
    return at


def _nanoseconds(count: int) -> timedelta:
    return timedelta(microseconds=count / 1000)


def _answer(status: RunStatus) -> Seen:
    return Answer(
        state=status.state,
        boot_id=status.boot_id,
        stop=status.stop,
        exit_code=status.exit_code,
        signal=status.signal,
        kill_confirmed=status.kill_confirmed,
        presumed=status.presumed,
    )
