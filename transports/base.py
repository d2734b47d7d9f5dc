"""The transport interface: what a transport must offer, and what the words in it guarantee.

A *transport* opens a *session* to an *endpoint*. A session carries the verbs of the run protocol
(docs/reference/run-protocol.md), and there is no other way to execute anything on a node:

    start   deliver a run; delivered any number of times, it executes at most once
    status  what the node knows about a run
    read    output by byte offset
    cancel  end a run, or make sure that it never starts
    gc      forget runs whose outcome is stored elsewhere
    probe   is the node there, and what is it

Every verb either answers what the node said, or raises a `transports.errors.TransportError`. No verb
retries by itself once a request may have been sent.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network
from typing import NewType, Protocol

RunId = NewType("RunId", str)
"""`<command uid, 32 hex>.<attempt, decimal from 1>`: one execution that happens at most once."""


FLEETING = "0" * 12
"""How the uid of runs begins that nobody minds to be done twice: `gc` drops their claims as well."""


class HostKeyPolicy(StrEnum):
    """What to do with the host key that a node presents (contract E-7)."""

    STRICT = "strict"
    ACCEPT_NEW = "accept-new"
    INSECURE = "insecure"


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """Secrets that open a node, read from the credentials directory at delivery and never stored.

    `private_key` and `certificate` are in OpenSSH's or PEM's own text form; `authority` (PEM) is trusted for TLS.
    """

    private_key: bytes | None = field(default=None, repr=False)
    certificate: bytes | None = field(default=None, repr=False)
    passphrase: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    authority: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressPolicy:
    """Where outbound connections may not go (contract E-9): networks, and ports of this very machine."""

    deny_networks: tuple[IPv4Network | IPv6Network, ...] = ()
    deny_local_ports: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where a node is and how to get in. Everything is resolved: a transport looks nothing up.

    `host_keys` are trusted OpenSSH public key lines (`ssh-ed25519 AAAA…`). `base_dir` is the folder on
    the node for the run protocol, relative to the login's home unless absolute. Times are seconds. `tls` None: as the
    transport sees fit.

    `bound_host_key` is the only host key that may see the credential, whatever else is trusted: another one is
    refused with `CredentialRebindRequired` before anything of it is sent.
    """

    node: str
    address: str
    port: int
    user: str | None = None
    credential: Credential | None = None
    credential_ref: str = ""
    bound_host_key: str | None = None
    host_key_policy: HostKeyPolicy = HostKeyPolicy.ACCEPT_NEW
    host_keys: tuple[str, ...] = ()
    jump: "Endpoint | None" = None
    connect_timeout: float = 10.0
    tls: bool | None = None
    insecure: bool = False
    base_dir: str = ".vendetta"
    policy: AddressPolicy = field(default_factory=AddressPolicy)

    @property
    def place(self) -> str:
        """Where credentials are shown: `address:port`, and the node that it is reached through, if any."""
        return f"{self.address}:{self.port}" + (f" through {self.jump.node}" if self.jump is not None else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class StartRequest:
    """One run to deliver.

    `script` is POSIX shell text that the node runs with `sh`; `stdin` is what it reads. `timeout` and
    `grace` (TERM to KILL) are seconds and are enforced on the node. `output_cap` is in bytes, for each of
    the two streams.
    """

    run: RunId
    script: bytes = field(repr=False)
    stdin: bytes = field(default=b"", repr=False)
    timeout: float = 300.0
    grace: float = 5.0
    output_cap: int = 64 * 1024 * 1024

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of everything that makes this run what it is: same run id, other digest = conflict."""
        h = hashlib.sha256()
        for part in (self.script, self.stdin, repr((self.timeout, self.grace, self.output_cap)).encode()):
            h.update(len(part).to_bytes(8, "big"))
            h.update(part)
        return h.hexdigest()


class RunState(StrEnum):
    """What the node's files and processes say about a run (docs/reference/run-protocol.md, "State")."""

    ABSENT = "absent"
    RUNNING = "running"
    ORPHAN = "orphan"
    DONE = "done"
    LOST = "lost"
    TOMBSTONE = "tombstone"


class StopReason(StrEnum):
    """Why a run ended: by itself, or because the node enforced a limit or a cancel."""

    NONE = "none"
    TIMEOUT = "timeout"
    CANCEL = "cancel"


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamState:
    """One output stream of a run.

    `kept` bytes can be read (it only grows, and is final once the run is DONE). `total` is what the command
    wrote, None when the node cut the stream and did not count. `truncated`: `kept` is the head up to the
    cap and then the last 64 KiB.
    """

    kept: int = 0
    total: int | None = 0
    truncated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStatus:
    """What the node answered about one run.

    `boot_id` is the node's *current* boot id. `exit_code` is 0–255; a shell reports death by signal as
    128 + signal, and `signal` is set then. None with DONE only for a run that was cancelled before it began.
    `duration` is nanoseconds from start to exit, by the node's own monotonic clock. `stray`: a process that
    outlived the command still holds its output open. `kill_confirmed` is False when a stopped run's
    processes could not be seen to be gone. `presumed`: the node says so without having kept the run protocol.
    `inline` is the whole (stdout, stderr) when the node sent it along with the answer.
    """

    run: RunId
    state: RunState
    boot_id: str
    stop: StopReason = StopReason.NONE
    exit_code: int | None = None
    signal: int | None = None
    duration: int | None = None
    stdout: StreamState = StreamState()
    stderr: StreamState = StreamState()
    stray: bool = False
    kill_confirmed: bool = True
    presumed: bool = False
    inline: tuple[bytes, bytes] | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """Bytes of both streams, from the offsets asked for. Empty means: no more at this moment."""

    stdout: bytes = b""
    stderr: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """What a node is, as it says itself. `uptime` is seconds; `facts` are small strings (os, arch, …)."""

    boot_id: str
    uptime: float
    facts: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionInfo:
    """What became known while connecting: the boot id, which runner answers, and the host key seen.

    `install_id` names the files of the run protocol that this session looks at: drawn at random when they were begun,
    empty where it could not be written. With another one none of the earlier runs can be found.
    `login_seconds` is the time from the node's taking the connection to its being of use.
    """

    boot_id: str
    runner: str
    host_key: str | None = None
    install_id: str = ""
    login_seconds: float = 0.0


class Session(Protocol):
    """One open way to a node. Safe for concurrent calls; calls on different runs do not wait for each other.

    After `closed` is true every verb raises `ConnectionLost`. A session that loses its peer closes itself and
    calls `on_close`; it never reconnects.
    """

    info: SessionInfo
    on_end: Callable[[RunStatus], None] | None
    """Called when the node reports the end of a run by itself: a hint that may never come."""
    on_close: Callable[[], None] | None
    """Called once, when the session has closed for whatever reason."""

    @property
    def closed(self) -> bool:
        """Whether this session is over."""

    async def start(self, request: StartRequest, *, wait: float = 0.0) -> RunStatus:
        """Deliver a run. Answers when it is claimed and has ended, or `wait` seconds after its claim.

        Raises `Conflict` when the id is taken by another digest, `NodeStorageFull`, `Rejected` or `StartRefused` when
        nothing was claimed, `ConnectionLost` when it is not known whether the request arrived.
        """

    async def status(self, run: RunId) -> RunStatus:
        """What the node knows about a run. Never changes anything."""

    async def read(self, run: RunId, *, stdout: int, stderr: int, limit: int) -> Output:
        """At most `limit` bytes in all, from offset `stdout` and `stderr` of the two streams."""

    async def cancel(self, run: RunId) -> RunStatus:
        """Ask the node to end a run (TERM, grace, KILL), or to refuse it should it arrive later.

        Answers at once with the state at that moment; the end shows in a later `status`.
        """

    async def gc(self, runs: Sequence[RunId]) -> None:
        """Drop scripts and output of ended runs. Their claims stay, so a late duplicate still does nothing.

        Of fleeting runs (`FLEETING`) nothing stays.
        """

    async def probe(self) -> Probe:
        """Ask the node what it is, over the open connection."""

    async def aclose(self) -> None:
        """Close, idempotently. Runs on the node go on."""


class Transport(Protocol):
    """Opens sessions of one kind. Found by entry point, group `vendetta.transports`."""

    async def connect(self, endpoint: Endpoint) -> Session:
        """Connect, authenticate, check the host key and set up the runner: one attempt, bounded in time.

        Raises `Unreachable` for what may pass by itself, `Refused` for what somebody has to change.
        """

    async def aclose(self) -> None:
        """Release what the transport itself holds. Sessions are closed by whoever opened them."""
