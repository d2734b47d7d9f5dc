"""The name of a command's run on its node."""

from controller.resources.command import Command
from transports.base import RunId


def run_id(command: Command) -> RunId:
    """`<uid, 32 hex>.1`: a command has one attempt, since nothing is ever run a second time by itself."""
    return RunId(f"{command.uid.replace('-', '')}.1")
