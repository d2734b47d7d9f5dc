"""Exit codes of exec (contract F-3, F-4)."""

from typing import Any

import pytest

from api.cli.outcome import Verdict, exit_code, exit_code_of_many, sentence, verdict


@pytest.mark.parametrize(
    ("status", "code", "counts"),
    [
        ({"phase": "success", "reason": "Completed", "exitCode": 0}, 0, "succeeded"),
        ({"phase": "error", "reason": "NonZeroExit", "exitCode": 1}, 1, "failed"),
        ({"phase": "error", "reason": "NonZeroExit", "exitCode": 3}, 3, "failed"),
        ({"phase": "error", "reason": "NonZeroExit", "exitCode": 255}, 255, "failed"),
        ({"phase": "error", "reason": "Signalled", "signal": 9}, 137, "failed"),
        ({"phase": "error", "reason": "Signalled", "signal": 15, "exitCode": None}, 143, "failed"),
        ({"phase": "timeout", "reason": "ExecTimeout", "exitCode": None, "signal": 15}, 124, "failed"),
        ({"phase": "timeout", "reason": "DeliveryTimeout"}, 124, "unreachable"),
        ({"phase": "cancelled", "reason": "Cancelled", "signal": 15}, 255, "failed"),
        ({"phase": "unknown", "reason": "NodeUnreachable"}, 255, "unreachable"),
        ({"phase": "unknown", "reason": "DeliveryUnconfirmed"}, 255, "unreachable"),
        ({"phase": "unknown", "reason": "RunLost"}, 255, "failed"),
        ({"phase": "error", "reason": "AuthFailed"}, 255, "failed"),
        ({"phase": "error", "reason": "HostKeyMismatch"}, 255, "failed"),
        ({"phase": "error", "exitCode": 4711}, 255, "failed"),
        ({}, 255, "failed"),
    ],
)
def test_each_end_has_its_code(status: dict[str, Any], code: int, counts: Verdict) -> None:
    """F-4: own code, 124, 128+n, 255."""
    assert exit_code(status) == code
    assert verdict(status) == counts


@pytest.mark.parametrize(
    ("verdicts", "code"),
    [
        (["succeeded", "succeeded"], 0),
        (["succeeded", "failed"], 1),
        (["succeeded", "unreachable"], 4),
        (["failed", "unreachable"], 4),
    ],
)
def test_many_nodes_have_three_codes(verdicts: list[Verdict], code: int) -> None:
    """F-3: 0, 1, 4."""
    assert exit_code_of_many(verdicts) == code


def test_only_what_codes_do_not_say_is_said() -> None:
    """F-4: an ordinary failure is the remote program's own business."""
    assert sentence({"phase": "success", "reason": "Completed"}) is None
    assert sentence({"phase": "error", "reason": "NonZeroExit", "exitCode": 1}) is None
    assert (
        sentence({"phase": "timeout", "reason": "ExecTimeout", "message": "ran for 5s"}) == "ExecTimeout: ran for 5s"
    )
    assert sentence({}) == "no status"


@pytest.mark.parametrize(("number", "name"), [(15, "SIGTERM (15)"), (9, "SIGKILL (9)"), (99, "signal 99")])
def test_a_signal_has_its_name(number: int, name: str) -> None:
    """F-4: nobody knows all the numbers."""
    assert sentence({"phase": "error", "reason": "Signalled", "signal": number}) == f"Signalled: {name}"
