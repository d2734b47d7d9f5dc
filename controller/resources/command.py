"""Command: something to run once on one node."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from controller.duration import HOUR, SECOND
from controller.resources.conditions import Condition
from controller.resources.meta import Resource
from controller.resources.node import CredentialRef
from controller.resources.types import SHORT_DURATION_PATTERN, Model, Name, Nanoseconds, Text, Timestamp, lasting

CommandPhase = Literal["pending", "running", "success", "error", "timeout", "cancelled", "unknown"]
Certainty = Literal["confirmed", "presumed", "unknown"]

ENDED: frozenset[str] = frozenset({"success", "error", "timeout", "cancelled", "unknown"})
SUPPORTED_TYPES = ("exec",)
INLINE_HEAD = INLINE_TAIL = 32 * 1024

COMPLETE, SUCCEEDED, FAILED = "Complete", "Succeeded", "Failed"
COMMAND_CONDITIONS = frozenset({COMPLETE, SUCCEEDED, FAILED})
"""The types that the controller writes itself."""


class SecretRef(Model):
    """A value that is read from the credentials directory at delivery and never stored."""

    credential_ref: CredentialRef


EnvName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}$")]
Program = Annotated[Text, Field(min_length=1, max_length=4096)]


def _free_names(env: dict[str, str | SecretRef]) -> dict[str, str | SecretRef]:
    taken = [name for name in env if name.startswith("VENDETTA_")]
    if taken:
        raise ValueError(f"{taken[0]}: names that begin with VENDETTA_ are the server's own")
    return env


_SHORT = Field(json_schema_extra={"pattern": SHORT_DURATION_PATTERN})


class CommandParams(Model):
    """How a command runs. What is left out gets its default when the command is stored (contract C-3)."""

    timeout: Annotated[Nanoseconds, lasting(most=30 * 24 * HOUR)] = 300 * SECOND
    """The limit of the execution; enforced on the node."""
    delivery_timeout: Annotated[Nanoseconds, lasting(most=7 * 24 * HOUR)] = 600 * SECOND
    """How long to wait for the node; at most a week, since a node forgets claims after that."""
    connect_timeout: Annotated[Nanoseconds, lasting(most=600 * SECOND), _SHORT] = 10 * SECOND
    """The limit of one attempt to connect."""
    grace: Annotated[Nanoseconds, lasting(least=0, most=HOUR), _SHORT] = 5 * SECOND
    """Between TERM and KILL."""
    argv: Annotated[tuple[Text, ...], Field(max_length=4096)] | None = None
    """A program and its arguments, without any shell."""
    env: Annotated[dict[EnvName, Text | SecretRef], AfterValidator(_free_names)] = Field(default_factory=dict)
    """Variables for the command; a value may be `{credentialRef: NAME}`."""
    cwd: Program | None = None
    """Where it runs; default: the login's home."""
    stdin: Text | None = None
    """What it reads; default: nothing."""
    shell: Program | None = None
    """Another shell for the action, for example /bin/bash."""
    run_as: Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_-]{0,31}\$?$")] | None = None
    """Another user, by `sudo -n`; admins only."""
    force: bool = False
    """Deliver to a cordoned node too."""

    @model_validator(mode="after")
    def _sane(self) -> "CommandParams":
        if self.argv is not None and (not self.argv or not self.argv[0]):
            raise ValueError("argv needs at least the program's name")
        if self.argv is not None and self.shell is not None:
            raise ValueError("argv runs without a shell: give either argv or shell")
        return self


class CommandSpec(Model):
    """What to run, and where. Only `cancel` may change once it is stored."""

    node: Name
    """The node's name."""
    type: str = "exec"
    """The kind of command; `exec` is the one there is."""
    action: Annotated[Text, Field(max_length=2 * 1024 * 1024)] = ""
    """A line for `sh`; optional with params.argv."""
    params: CommandParams = Field(default_factory=CommandParams)
    """How it runs."""
    user: Annotated[Text, Field(max_length=255)] = ""
    """An audit label: on whose behalf."""
    cancel: bool = False
    """Set to true to have it cancelled."""


class Delivery(Model):
    """What the controller knows about getting a command to its node. Written before anything is sent."""

    node_uid: str
    transport: str = ""
    place: str = ""
    """Where the node was reached when the start was first sent: address, port, host key and its files' id."""
    boot_id: str | None = None
    """The node's boot id when the start was first sent; None: never sent."""
    sent_at: Timestamp | None = None
    acked: bool = False
    """The node has confirmed the claim."""
    nonce_digest: str = ""
    """SHA-256 of the nonce that went with it to an agent that reports by itself; empty for all others."""


class Mark(Model):
    """Something that happened on a command's way and that nothing else in its status tells (see `timeline`)."""

    phase: str
    """What began: waiting, connect, auth, sent, claimed, reattaching, cancelling or unknown."""
    at: Timestamp
    """When."""
    reason: str
    """Why, as a CamelCase constant."""
    message: Text = ""
    """Why, as a sentence."""


class CommandStatus(Model):
    """What is observed of a command."""

    phase: CommandPhase = "pending"
    """Where it stands (contract C-7)."""
    reason: str = "Queued"
    """Why, as a CamelCase constant."""
    message: Text = ""
    """Why, as a sentence."""
    exit_code: int | None = None
    """The command's own exit code."""
    signal: int | None = None
    """The signal that ended it."""
    output: Text | None = None
    """Both streams in the order read, at most 32 KiB head and 32 KiB tail."""
    stdout: Text | None = None
    """The same for standard output alone."""
    stderr: Text | None = None
    """The same for standard error alone."""
    output_bytes: int = 0
    """How much the command wrote, or at least that much when output_bytes_exact is false."""
    output_bytes_exact: bool = True
    """Whether output_bytes is the true count."""
    truncated: bool = False
    """Whether output was cut, on the node or in the inline fields."""
    queued: Timestamp | None = None
    """When it was accepted; commands of a node start in this order."""
    started: Timestamp | None = None
    """When it was claimed on the node, at the latest."""
    first_output: Timestamp | None = None
    """When its first output was collected; set at its end."""
    finished: Timestamp | None = None
    """When its end was seen and all of its output was stored."""
    duration: Nanoseconds | None = None
    """On the node, from start to exit."""
    transport: str | None = None
    """What it was delivered over."""
    attempts: int = 0
    """How often it was sent."""
    certainty: Certainty = "unknown"
    """How sure the outcome is."""
    late: bool = False
    """The outcome was unknown first and corrected later."""
    requested_by: Text = ""
    """The authenticated principal who sent it."""
    digest: str = ""
    """SHA-256 of the request, where the caller chose the id: the same id with another body is a conflict."""
    delivery: Delivery | None = None
    """How far delivery is."""
    marks: tuple[Mark, ...] = ()
    """Connections, waits and retries on its way: the first 8 and the last 8."""
    observed_generation: int = 0
    """The generation that the controller acted on."""
    conditions: tuple[Condition, ...] = ()
    """Complete, Succeeded, Failed."""


class Command(Resource):
    """Something to run once on one node."""

    kind: Literal["Command"] = "Command"
    """What it is."""
    spec: CommandSpec
    """What to run, and where."""
    status: CommandStatus = Field(default_factory=CommandStatus)
    """What is observed."""

    @property
    def ended(self) -> bool:
        """Whether the status is final (`unknown` may still be corrected)."""
        return self.status.phase in ENDED

    @property
    def handed_out(self) -> bool:
        """Whether an agent that reports by itself has fetched it, so that nobody here observes it (C-13)."""
        return self.status.delivery is not None and bool(self.status.delivery.nonce_digest)
