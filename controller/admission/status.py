"""What others may say in a status (contract G-1): conditions of types of their own. All the rest is the controller's.

As a kubelet shares the conditions of its node with node-problem-detector: whoever watches something else of a node,
or judges a command, says so in a condition that it has named itself.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final, TypeVar

from controller.admission.errors import Invalid, Problem
from controller.resources.command import COMMAND_CONDITIONS, Command
from controller.resources.conditions import Condition, Conditions, shared
from controller.resources.node import NODE_CONDITIONS, Node

R = TypeVar("R", Node, Command)

OWN: Final = {"Node": NODE_CONDITIONS, "Command": COMMAND_CONDITIONS}
"""The controller's types of each kind."""
MOST_CONDITIONS: Final = 64
"""Conditions of others on one object."""
_LONGEST: Final = {"reason": 1024, "message": 4096}
CONDITION_TYPE: Final = re.compile(
    r"(?:[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
)


def observed(old: R, asked: Conditions) -> R:
    """`old` with others' conditions as asked; its own stay. Raises Invalid."""
    own = OWN[old.kind]
    if problems := list(_problems([(place, c) for place, c in enumerate(asked) if c.type not in own])):
        raise Invalid("the status is not valid", *problems)
    conditions = shared(own, old.status.conditions, asked)
    return old.model_copy(update={"status": old.status.model_copy(update={"conditions": conditions})})


def _problems(theirs: Sequence[tuple[int, Condition]]) -> Iterator[Problem]:
    """What is wrong with the conditions at those places."""
    if len(theirs) > MOST_CONDITIONS:
        yield Problem(field="status.conditions", message=f"at most {MOST_CONDITIONS} besides the server's own")
        return
    seen = set[str]()
    for place, condition in theirs:
        where = f"status.conditions[{place}]"
        if not CONDITION_TYPE.fullmatch(condition.type):
            yield Problem(field=f"{where}.type", message="is not a name in Kubernetes' syntax: [prefix/]Name")
        elif condition.type in seen:
            yield Problem(field=f"{where}.type", message="is there twice")
        seen.add(condition.type)
        for name, most in _LONGEST.items():
            if len(getattr(condition, name)) > most:
                yield Problem(field=f"{where}.{name}", message=f"at most {most} characters")
