"""What every request handler may reach: built once in `api.server`, found at `request.app.state.context`."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from api.stopping import Stopping
from api.traffic import Traffic
from controller.contacts import Contacts
from controller.followers import Followers
from controller.nodelog import NodeLog
from controller.runtime.clock import Clock
from controller.services.board import ServiceBoard
from controller.settings import Settings
from controller.sources.told import SourceLog
from controller.store.base import Store
from transports.websocket.hub import Hub

if TYPE_CHECKING:
    from api.stream import Broadcaster
    from controller.controllers import Controllers
    from controller.metrics import Metrics


@dataclass(slots=True, kw_only=True)
class Context:
    """The server's parts. `stopping` is set first thing on shutdown: every stream ends itself then."""

    settings: Settings
    store: Store
    clock: Clock
    contacts: Contacts
    services: ServiceBoard
    node_log: NodeLog
    followers: Followers
    metrics: "Metrics"
    broadcaster: "Broadcaster"
    controllers: "Controllers"
    version: str
    stopping: Stopping = field(default_factory=Stopping)
    traffic: Traffic = field(default_factory=Traffic)
    hub: Hub = field(default_factory=Hub)
    source_log: SourceLog = field(default_factory=SourceLog)
