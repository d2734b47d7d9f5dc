"""What `wait` waits for (contract F-2)."""

from typing import Any

import pytest

from api.cli.errors import Misused
from api.cli.goals import goal_of

NODE: dict[str, Any] = {
    "metadata": {"name": "n1", "annotations": {"a.b/c": "x=y"}},
    "spec": {"port": 22, "unschedulable": False},
    "status": {
        "phase": "active",
        "conditions": [
            {"type": "Reachable", "status": "True", "reason": "ProbeSucceeded"},
            {"type": "Ready", "status": "False", "reason": "Cordoned", "message": "nothing new is delivered"},
        ],
    },
}


@pytest.mark.parametrize(
    ("text", "met"),
    [
        ("condition=Reachable", True),
        ("condition=reachable=true", True),
        ("condition=Ready", False),
        ("condition=Ready=False", True),
        ("condition=Absent", False),
        ("jsonpath={.status.phase}=active", True),
        ("jsonpath='{.status.phase}'=active".replace("'", ""), True),
        ("jsonpath=.status.phase=active", True),
        ("jsonpath={.status.phase}=inactive", False),
        ("jsonpath={.status.phase}", True),
        ("jsonpath={.status.nothing}", False),
        ("jsonpath={.spec.port}=22", True),
        ("jsonpath={.spec.unschedulable}=false", True),
        ("jsonpath={.status.conditions[1].reason}=Cordoned", True),
        ("jsonpath={.status.conditions[7].reason}", False),
        ("jsonpath={.metadata.annotations['a.b/c']}=x=y", True),
        ("jsonpath={.metadata.annotations['a.b/c']}=\"x=y\"", True),
        ("delete", False),
    ],
)
def test_a_goal_is_met_or_not(text: str, met: bool) -> None:
    """F-2: conditions without regard to case, values at paths, and that it is gone."""
    assert goal_of(text).met(NODE) is met


@pytest.mark.parametrize("text", ["condition=Ready", "jsonpath={.status.phase}"])
def test_what_is_not_there_meets_nothing_but_to_be_gone(text: str) -> None:
    """F-2: an object that does not exist yet is waited for."""
    assert not goal_of(text).met(None)
    assert goal_of(text).told(None) == "it does not exist"
    assert goal_of("delete").met(None)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("condition=Ready", "Ready is False (Cordoned: nothing new is delivered)"),
        ("condition=Absent", "it has no condition Absent"),
        ("jsonpath={.status.phase}=x", "{.status.phase} is active"),
        ("jsonpath={.spec.unschedulable}=true", "{.spec.unschedulable} is false"),
        ("jsonpath={.a[0]}", "there is nothing at {.a[0]}"),
        ("delete", "it is still there"),
    ],
)
def test_it_tells_how_things_are_instead(text: str, told: str) -> None:
    """F-2: a timeout says why."""
    assert goal_of(text).told(NODE) == told


@pytest.mark.parametrize(
    "text", ["", "ready", "condition=", "condition==True", "jsonpath=", "jsonpath={.a[*]}=1", "x=y"]
)
def test_what_cannot_be_waited_for_is_a_usage_error(text: str) -> None:
    """F-3: exit code 2."""
    with pytest.raises(Misused, match="--for"):
        goal_of(text)
