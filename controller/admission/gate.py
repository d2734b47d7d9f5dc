"""The front of admission: its parts, built once from what they need."""

from controller.admission.commands import Commands
from controller.admission.nodes import Nodes
from controller.contacts import Contacts
from controller.runtime.clock import Clock
from controller.store.base import Store


class Admission:
    """Everything that may be asked of nodes and commands."""

    def __init__(self, *, store: Store, clock: Clock, contacts: Contacts, node_timeout: int) -> None:
        """`node_timeout` in nanoseconds, as in the settings."""
        self.nodes = Nodes(store=store, clock=clock, contacts=contacts, node_timeout=node_timeout)
        self.commands = Commands(store=store, clock=clock)
