"""The front of admission: its parts, built once from what they need."""

from controller.admission.claims import Claiming
from controller.admission.commands import Commands
from controller.admission.joining import Joining
from controller.admission.nodes import Nodes
from controller.admission.registry import Registry, Rehearsal
from controller.contacts import Contacts
from controller.runtime.clock import Clock


class Admission:
    """Everything that may be asked of nodes and commands."""

    def __init__(self, *, store: Registry, clock: Clock, contacts: Contacts, node_timeout: int) -> None:
        """`node_timeout` in nanoseconds, as in the settings."""
        self._store, self._clock, self._timeout = store, clock, node_timeout
        self.nodes = Nodes(store=store, clock=clock, contacts=contacts, node_timeout=node_timeout)
        self.commands = Commands(store=store, clock=clock)
        self.claiming = Claiming(store=store, clock=clock, contacts=contacts)
        self.joining = Joining(store=store, clock=clock, contacts=contacts, node_timeout=node_timeout)

    def rehearsal(self) -> "Admission":
        """The same gate over the same objects, behind which nothing is stored and nothing counts as contact."""
        return Admission(
            store=Rehearsal(self._store, self._clock),
            clock=self._clock,
            contacts=Contacts(),
            node_timeout=self._timeout,
        )
