"""Where a credential may be used for a node: at the address and host key where it was used first (contract B-2).

Bindings are part of the node's status, so that they go with it. A credential that a node has never used is bound by
its first use; from then on another place is refused before anything is sent, until an admin has confirmed it. All
places that the node's spec names when a credential is first used are bound together: a node with two addresses is
one node.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import Final

from controller.resources.node import CredentialBinding, Node, RefusedBinding, places_of
from controller.store.base import Conflict, Store, Update
from transports.base import Endpoint, HostKeyPolicy
from transports.errors import CredentialRebindRequired, fingerprint_of

Bindings = tuple[CredentialBinding, ...]

_ATTEMPTS: Final = 10
_AUTHORITY: Final = "@cert-authority"


def narrowed(endpoint: Endpoint, node: Node) -> Endpoint:
    """The endpoint with the one host key that its credential may be shown to.

    Raises CredentialRebindRequired where the credential is bound to other places.
    """
    bound = of_credential(node.status.credentials, endpoint.credential_ref)
    if not bound:
        return endpoint
    here = next((b for b in bound if b.place == endpoint.place), None)
    if here is None:
        raise CredentialRebindRequired(
            node=node.name,
            credential=endpoint.credential_ref,
            bound_to=[_told(b) for b in bound],
            place=endpoint.place,
        )
    return replace(endpoint, bound_host_key=here.host_key or None)


def of_credential(bindings: Iterable[CredentialBinding], credential: str) -> Bindings:
    """The bindings of that credential."""
    return tuple(b for b in bindings if b.credential == credential)


def allow(bindings: Iterable[CredentialBinding], refused: RefusedBinding) -> bool:
    """Whether what was refused is permitted by now."""
    return any(
        b.credential == refused.credential and b.place == refused.place and b.host_key in {"", refused.host_key}
        for b in bindings
    )


def refusal(error: CredentialRebindRequired) -> RefusedBinding:
    """What an admin would have to confirm."""
    return RefusedBinding(credential=error.credential, place=error.place, host_key=error.presented)


def confirmed(node: Node, refused: RefusedBinding, now: datetime) -> Bindings:
    """The node's bindings with the place that was refused; of the others, those that its spec still names stay."""
    named = frozenset(places_of(node)) - {refused.place}
    kept = (b for b in node.status.credentials if b.credential != refused.credential or b.place in named)
    new = CredentialBinding(credential=refused.credential, place=refused.place, host_key=refused.host_key, since=now)
    return (*kept, new)


def with_host_key(bindings: Bindings, address: str, host_key: str) -> Bindings:
    """The bindings, with those at that address and port bound to a key that an admin has accepted there."""
    return tuple(
        b.model_copy(update={"host_key": host_key}) if b.host_key and b.place.split(" ", 1)[0] == address else b
        for b in bindings
    )


def used(node: Node, endpoint: Endpoint, host_key: str | None, now: datetime) -> Bindings:
    """The node's bindings after a successful use; the same where there is nothing new to know."""
    bindings, key = node.status.credentials, _countable(endpoint, host_key)
    if not of_credential(bindings, endpoint.credential_ref):
        new = (
            CredentialBinding(credential=endpoint.credential_ref, place=place, since=now)
            for place in dict.fromkeys((endpoint.place, *places_of(node)))
        )
        bindings = (*bindings, *new)
    return tuple(b.model_copy(update={"host_key": key}) if _lacks(b, endpoint, key) else b for b in bindings)


async def bind(store: Store, node: Node, endpoint: Endpoint, host_key: str | None, now: datetime) -> None:
    """Write down a use, before anything is sent on the connection. Raises CredentialRebindRequired, StoreError."""
    if not endpoint.credential_ref:
        return
    for _ in range(_ATTEMPTS):
        newest = store.get("Node", node.name)
        if not isinstance(newest, Node) or newest.uid != node.uid:
            return  # the connection goes with the node that it was for
        _check(narrowed(endpoint, newest), host_key)
        bindings = used(newest, endpoint, host_key, now)
        if bindings == newest.status.credentials:
            return
        status = newest.status.model_copy(update={"credentials": bindings})
        try:
            await store.write(Update(obj=newest.model_copy(update={"status": status})))
        except Conflict:
            continue
        return
    raise Conflict(f"node {node.name} changes too fast")


def _check(endpoint: Endpoint, host_key: str | None) -> None:
    """A transport has looked already; one that did not must not get further than this."""
    bound = endpoint.bound_host_key
    if bound is not None and host_key not in {None, bound}:
        raise CredentialRebindRequired(
            node=endpoint.node,
            credential=endpoint.credential_ref,
            bound_to=[f"{endpoint.place} ({fingerprint_of(bound)})"],
            place=endpoint.place,
            presented=host_key or "",
        )


def _countable(endpoint: Endpoint, host_key: str | None) -> str:
    """The key to bind to; empty where the policy says that it does not matter which."""
    by_authority = any(line.startswith(_AUTHORITY) for line in endpoint.host_keys)
    return "" if endpoint.host_key_policy is HostKeyPolicy.INSECURE or by_authority else host_key or ""


def _lacks(binding: CredentialBinding, endpoint: Endpoint, key: str) -> bool:
    here = binding.credential == endpoint.credential_ref and binding.place == endpoint.place
    return here and bool(key) and not binding.host_key


def _told(binding: CredentialBinding) -> str:
    mark = fingerprint_of(binding.host_key) if binding.host_key else ""
    return f"{binding.place} ({mark})" if mark else binding.place
