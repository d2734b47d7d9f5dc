"""The decision table, cell by cell and as a whole."""

import itertools
from datetime import UTC, datetime, timedelta

import pytest

from controller.decide import Answer, Do, Known, Nothing, Seen, Sent, Silence, decide
from controller.resources.command import ENDED
from transports.base import RunState, StopReason

NOW = datetime(2026, 1, 13, tzinfo=UTC)
LATER, BEFORE = NOW + timedelta(seconds=1), NOW - timedelta(seconds=1)
BOOT, OTHER = "boot-1", "boot-2"

ANSWERS: list[Seen] = [
    Answer(state=state, boot_id=boot, stop=stop, exit_code=code, signal=signal, kill_confirmed=confirmed)
    for state, boot, stop, (code, signal), confirmed in itertools.product(
        RunState, (BOOT, OTHER), StopReason, ((0, None), (3, None), (137, 9), (None, None)), (True, False)
    )
]
SILENCES: list[Seen] = [Silence(reason=r, permanent=p) for r, p in (("NodeUnreachable", False), ("AuthFailed", True))]
EVERYTHING_SEEN: list[Seen] = [*ANSWERS, *SILENCES, Nothing()]
EVERYTHING_KNOWN = [
    Known(
        sent=sent,
        boot_id=None if sent is Sent.NEVER else BOOT,
        deliver_by=deliver_by,
        lost_by=None if sent is Sent.NEVER else lost_by,
        cancel=cancel,
        admitted=admitted,
        moved=moved,
    )
    for sent, deliver_by, lost_by, cancel, admitted, moved in itertools.product(
        Sent, (BEFORE, LATER), (BEFORE, LATER), (True, False), (True, False), (True, False)
    )
]
TABLE = [
    ("success", "Completed"),
    *(("pending", r) for r in ("Queued", "NodeUnreachable", "NodeCordoned", "Frozen", "TransportUnavailable")),
    *(("running", r) for r in ("Claimed", "Reattaching", "Cancelling")),
    *(("error", r) for r in ("NonZeroExit", "Signalled", "AuthFailed")),
    *(("timeout", r) for r in ("ExecTimeout", "DeliveryTimeout")),
    ("cancelled", "Cancelled"),
    *(
        ("unknown", r)
        for r in (
            "DeliveryUnconfirmed",
            "NodeUnreachable",
            "NodeRebooted",
            "SupervisorLost",
            "KillUnconfirmed",
            "RunLost",
        )
    ),
]


def known(sent: Sent, **changes: object) -> Known:
    """What is known of a delivery with all its time left."""
    boot = None if sent is Sent.NEVER else BOOT
    fields = {"sent": sent, "boot_id": boot, "deliver_by": LATER, "lost_by": LATER, "cancel": False, **changes}
    return Known(**fields)  # type: ignore[arg-type]


def answer(state: RunState, boot_id: str = BOOT, **fields: object) -> Answer:
    """The node's answer."""
    return Answer(state=state, boot_id=boot_id, **fields)  # type: ignore[arg-type]


def test_every_combination_has_an_answer_from_the_table() -> None:
    """C-7: whatever is known and seen, the step's phase and reason stand in the contract's table."""
    for what, seen in itertools.product(EVERYTHING_KNOWN, EVERYTHING_SEEN):
        step = decide(what, seen, NOW)
        assert (step.phase, step.reason) in TABLE or step.reason == "Reattaching"
        assert (step.do is Do.FINISH) == (step.phase in ENDED)


def test_nothing_is_sent_after_the_start_point() -> None:
    """C-9: once the claim is known, or the node has any trace of the run, no start is sent."""
    for what, seen in itertools.product(EVERYTHING_KNOWN, EVERYTHING_SEEN):
        step = decide(what, seen, NOW)
        if step.do is Do.SEND:
            assert what.sent is not Sent.CLAIMED
            assert what.deliver_by > NOW
            assert not what.cancel
            assert what.sent is Sent.NEVER or (isinstance(seen, Answer) and seen.state is RunState.ABSENT)


def test_success_needs_an_exit_code_of_zero_that_the_node_recorded() -> None:
    """Nothing but a recorded, unforced exit 0 is ever called success."""
    for what, seen in itertools.product(EVERYTHING_KNOWN, EVERYTHING_SEEN):
        step = decide(what, seen, NOW)
        if step.phase == "success":
            assert isinstance(seen, Answer)
            assert (seen.state, seen.exit_code, seen.stop) == (RunState.DONE, 0, StopReason.NONE)


@pytest.mark.parametrize(
    ("what", "seen", "do", "phase", "reason"),
    [
        (known(Sent.NEVER), Nothing(), Do.SEND, "pending", "Queued"),
        (known(Sent.NEVER, cancel=True), Nothing(), Do.FINISH, "cancelled", "Cancelled"),
        (known(Sent.NEVER, deliver_by=BEFORE), Nothing(), Do.FINISH, "timeout", "DeliveryTimeout"),
        (known(Sent.NEVER, admitted=False, held_by="NodeCordoned"), Nothing(), Do.HOLD, "pending", "NodeCordoned"),
        (known(Sent.NEVER), Silence(reason="NodeUnreachable"), Do.HOLD, "pending", "NodeUnreachable"),
        (known(Sent.NEVER), Silence(reason="AuthFailed", permanent=True), Do.FINISH, "error", "AuthFailed"),
        (known(Sent.UNANSWERED), Nothing(), Do.ASK, "pending", "Reattaching"),
        (known(Sent.UNANSWERED), answer(RunState.ABSENT), Do.SEND, "pending", "Queued"),
        (known(Sent.UNANSWERED), answer(RunState.ABSENT, OTHER), Do.FINISH, "unknown", "NodeRebooted"),
        (known(Sent.UNANSWERED, cancel=True), answer(RunState.ABSENT), Do.CANCEL, "pending", "Queued"),
        (known(Sent.UNANSWERED), Silence(reason="NodeUnreachable"), Do.HOLD, "pending", "NodeUnreachable"),
        (
            known(Sent.UNANSWERED, lost_by=BEFORE),
            Silence(reason="NodeUnreachable"),
            Do.FINISH,
            "unknown",
            "DeliveryUnconfirmed",
        ),
        (
            known(Sent.UNANSWERED),
            Silence(reason="AuthFailed", permanent=True),
            Do.HOLD,
            "pending",
            "NodeUnreachable",
        ),
        (known(Sent.UNANSWERED), answer(RunState.RUNNING), Do.OBSERVE, "running", "Claimed"),
        (known(Sent.CLAIMED), answer(RunState.RUNNING), Do.OBSERVE, "running", "Claimed"),
        (known(Sent.CLAIMED), answer(RunState.ORPHAN), Do.OBSERVE, "running", "Claimed"),
        (known(Sent.CLAIMED, cancel=True), answer(RunState.RUNNING), Do.CANCEL, "running", "Cancelling"),
        (known(Sent.CLAIMED), answer(RunState.ABSENT), Do.FINISH, "unknown", "RunLost"),
        (known(Sent.CLAIMED), answer(RunState.ABSENT, OTHER), Do.FINISH, "unknown", "NodeRebooted"),
        (known(Sent.CLAIMED), answer(RunState.LOST), Do.FINISH, "unknown", "SupervisorLost"),
        (known(Sent.CLAIMED), answer(RunState.LOST, OTHER), Do.FINISH, "unknown", "NodeRebooted"),
        (known(Sent.CLAIMED, cancel=True), answer(RunState.TOMBSTONE), Do.FINISH, "cancelled", "Cancelled"),
        (known(Sent.UNANSWERED), answer(RunState.TOMBSTONE), Do.FINISH, "timeout", "DeliveryTimeout"),
        (known(Sent.UNANSWERED, deliver_by=BEFORE), answer(RunState.ABSENT), Do.CANCEL, "pending", "Queued"),
        (known(Sent.UNANSWERED, moved=True), answer(RunState.ABSENT), Do.FINISH, "unknown", "DeliveryUnconfirmed"),
        (known(Sent.CLAIMED), Silence(reason="NodeUnreachable"), Do.HOLD, "running", "Reattaching"),
        (
            known(Sent.CLAIMED, lost_by=BEFORE),
            Silence(reason="NodeUnreachable"),
            Do.FINISH,
            "unknown",
            "NodeUnreachable",
        ),
        (known(Sent.CLAIMED), answer(RunState.DONE, exit_code=0), Do.FINISH, "success", "Completed"),
        (known(Sent.CLAIMED), answer(RunState.DONE, exit_code=3), Do.FINISH, "error", "NonZeroExit"),
        (known(Sent.CLAIMED), answer(RunState.DONE, exit_code=137, signal=9), Do.FINISH, "error", "Signalled"),
        (
            known(Sent.CLAIMED),
            answer(RunState.DONE, exit_code=143, signal=15, stop=StopReason.TIMEOUT),
            Do.FINISH,
            "timeout",
            "ExecTimeout",
        ),
        (
            known(Sent.CLAIMED),
            answer(RunState.DONE, exit_code=143, signal=15, stop=StopReason.CANCEL),
            Do.FINISH,
            "cancelled",
            "Cancelled",
        ),
        (
            known(Sent.CLAIMED),
            answer(RunState.DONE, exit_code=137, stop=StopReason.CANCEL, kill_confirmed=False),
            Do.FINISH,
            "unknown",
            "KillUnconfirmed",
        ),
        (known(Sent.CLAIMED, cancel=True), answer(RunState.DONE, exit_code=0), Do.FINISH, "success", "Completed"),
    ],
)
def test_the_cells_of_the_table(what: Known, seen: Seen, do: Do, phase: str, reason: str) -> None:
    """The run protocol's decision table, one cell each."""
    step = decide(what, seen, NOW)
    assert (step.do, step.phase, step.reason) == (do, phase, reason)
