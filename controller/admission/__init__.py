"""Admission: what may be stored, whichever face asks for it. No HTTP in here.

    Admission(store=…, clock=…, contacts=…, node_timeout=…)
        nodes      register, create, replace, delete, heartbeat, trust a host key, revoke tokens
        commands   create, cancel, replace, delete, report a result
        claiming   hand commands out to agents that report by themselves
        joining    make and revoke join tokens, enrol a machine as a node

Every write is level-based: read, compute, write under the version read, and again from the start on a conflict.
"""

from controller.admission.caller import Caller
from controller.admission.commands import Commands
from controller.admission.errors import (
    AdmissionError,
    BadJoinToken,
    Denied,
    IdTaken,
    Invalid,
    NotReportable,
    Problem,
    Refused,
    Stale,
    Unknown,
)
from controller.admission.gate import Admission
from controller.admission.nodes import NodePatch, Nodes

__all__ = [
    "Admission",
    "AdmissionError",
    "BadJoinToken",
    "Caller",
    "Commands",
    "Denied",
    "IdTaken",
    "Invalid",
    "NodePatch",
    "Nodes",
    "NotReportable",
    "Problem",
    "Refused",
    "Stale",
    "Unknown",
]
