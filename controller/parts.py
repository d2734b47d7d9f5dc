"""What the controllers are given: everything that touches the world outside."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from controller.bulletin import Bulletin
from controller.contacts import Contacts
from controller.endpoints import KnownHosts
from controller.followers import Followers
from controller.membership import Membership
from controller.metrics import Metrics
from controller.nodelog import NodeLog
from controller.runtime.clock import Clock
from controller.runtime.failpoint import Failpoint
from controller.services.board import ServiceBoard
from controller.settings import Settings
from controller.sources.told import SourceLog
from controller.store.base import Store
from transports.base import Transport
from transports.websocket.hub import Hub


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Built by whoever builds the server; the controllers build the rest."""

    store: Store
    membership: Membership
    bulletin: Bulletin
    settings: Settings
    clock: Clock
    contacts: Contacts
    services: ServiceBoard
    node_log: NodeLog
    source_log: SourceLog
    followers: Followers
    metrics: Metrics
    transports: Callable[[str], Transport]
    hub: Hub
    known_hosts: KnownHosts
    local_ports: frozenset[int]
    failpoint: Failpoint
    rng: random.Random
