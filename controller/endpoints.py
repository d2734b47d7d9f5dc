"""From a Node to an Endpoint: everything that a transport must know, looked up in one place."""

from collections.abc import Callable
from ipaddress import ip_network

from controller import hostkeys
from controller.bindings import narrowed
from controller.credentials import Credentials
from controller.duration import SECOND
from controller.resources.node import Node, TransportSpec, address_of, transports_of
from controller.settings import TransportSettings
from controller.store.base import Store
from transports.base import AddressPolicy, Endpoint, HostKeyPolicy
from transports.errors import EndpointInvalid

JUMP_LIMIT = 5
DIALLED_IN = "websocket"
"""The transport that needs no address: the node's agent has come to us."""

KnownHosts = Callable[[str, int], tuple[str, ...]]
"""Keys that a known_hosts file holds for an address and port."""


class Endpoints:
    """Resolves how a node is reached. Reads credentials anew each time, so a rotated key is picked up."""

    def __init__(
        self, store: Store, settings: TransportSettings, known_hosts: KnownHosts, *, local_ports: frozenset[int]
    ) -> None:
        self._store = store
        self._settings = settings
        self._known_hosts = known_hosts
        self._credentials = Credentials(settings.credentials_dir)
        self.policy = AddressPolicy(
            deny_networks=tuple(ip_network(cidr) for cidr in settings.deny_cidrs), deny_local_ports=local_ports
        )

    def resolve(self, node: Node, spec: TransportSpec, *, connect_timeout: int | None = None) -> Endpoint:
        """The endpoint for one of the node's transports.

        Raises Refused (AuthFailed, EndpointInvalid, CredentialRebindRequired) when something has to be changed first.
        """
        return self._resolve(node, spec, connect_timeout, depth=0)

    def is_complete(self, node: Node, spec: TransportSpec) -> bool:
        """Whether there is an address, and a credential where the transport delivers nothing without one."""
        credential = spec.credential_ref or self._default_credential(spec.type)
        return bool(spec.address or node.spec.address) and (spec.type != "http" or credential is not None)

    def secret(self, ref: str) -> str:
        """A value by reference, for a command's environment."""
        return self._credentials.secret(ref)

    def _resolve(self, node: Node, spec: TransportSpec, connect_timeout: int | None, *, depth: int) -> Endpoint:
        address, port = address_of(node, spec)
        if not address and spec.type != DIALLED_IN:
            raise EndpointInvalid(f"node {node.name} has no address: set spec.address")
        ssh = self._settings.ssh
        credential = spec.credential_ref or self._default_credential(spec.type)
        endpoint = Endpoint(
            node=node.name,
            address=address,
            port=port,
            user=spec.user or ssh.default_user,
            credential=self._credentials.load(credential) if credential else None,
            credential_ref=credential or "",
            host_key_policy=HostKeyPolicy(spec.host_key_policy or ssh.host_key_policy),
            host_keys=self._host_keys(spec, address, port),
            jump=self._jump(node, spec, depth),
            connect_timeout=(spec.connect_timeout or connect_timeout or 10 * SECOND) / SECOND,
            tls=spec.tls,
            insecure=spec.insecure,
            base_dir=ssh.base_dir,
            policy=self.policy,
        )
        return narrowed(endpoint, self._newest(node))

    def _newest(self, node: Node) -> Node:
        """The node with what was bound since it was read."""
        found = self._store.get("Node", node.name)
        return found if isinstance(found, Node) and found.uid == node.uid else node

    def _default_credential(self, transport: str) -> str | None:
        """A key for ssh is shown to nothing but sshd, and an agent's token to nothing but an agent."""
        if transport == "http":
            return self._settings.http.default_credential
        return self._settings.ssh.default_credential if transport == "ssh" else None

    def _host_keys(self, spec: TransportSpec, address: str, port: int) -> tuple[str, ...]:
        """A pin that somebody accepted counts beside the manifest; both beside the known_hosts file."""
        known = (*spec.host_keys, *self._known_hosts(address, port), *hostkeys.pinned(self._store, address, port))
        return tuple(dict.fromkeys(known))

    def _jump(self, node: Node, spec: TransportSpec, depth: int) -> Endpoint | None:
        if spec.jump is None:
            return None
        if depth >= JUMP_LIMIT:
            raise EndpointInvalid(f"node {node.name} is behind more than {JUMP_LIMIT} jump hosts: is there a circle?")
        via = self._store.get("Node", spec.jump)
        if not isinstance(via, Node):
            raise EndpointInvalid(f"node {node.name} is reached through {spec.jump}, which is not registered")
        inner = next((t for t in transports_of(via) if t.type == "ssh"), None)
        if inner is None:
            raise EndpointInvalid(f"node {spec.jump} cannot be a jump host: it is not reached over ssh")
        return self._resolve(via, inner, None, depth=depth + 1)
