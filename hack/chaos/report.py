"""What is shown: a line of progress, and the table in the end."""

from collections.abc import Mapping
from typing import Any

from hack.chaos.coordinator import FAILPOINTS
from hack.chaos.world import World

SERIOUS = ("executed twice", "lost silently", "wrong bytes")


def progress(world: World, seconds: float) -> str:
    """One line."""
    ended = sum(1 for seen in world.client.history.values() if seen and not seen.startswith(("pending", "running")))
    facts = f"{len(world.client.history)} acknowledged, {ended} ended"
    return f"{seconds:5.0f} s   {facts}, {server_kills(world)} server kills, {troubles(world)} other troubles"


def server_kills(world: World) -> int:
    """How often the server died of SIGKILL, its own at a failpoint included."""
    died = world.coordinator.died
    return died["killed"] + sum(died[name] for name in FAILPOINTS)


def troubles(world: World) -> int:
    """How many troubles of other kinds were made."""
    return sum(world.tally.values())


def table(world: World, verdict: Mapping[str, Any], *, seed: int, seconds: float) -> str:
    """Everything, for people and for docs/reliability.md."""
    died = world.coordinator.died
    rows: list[tuple[str, object]] = [
        ("commands sent", verdict["sent"]),
        ("commands acknowledged", verdict["acknowledged"]),
        ("delivered by a second deliverer too", verdict["delivered by a rival too"]),
        ("server killed from outside", died["killed"]),
        *((f"server killed at {name}", died[name]) for name in FAILPOINTS),
        ("server kills in all", server_kills(world)),
        *((f"server ended by itself: {cause}", n) for cause, n in died.items() if cause.startswith("exit")),
        *sorted(world.tally.items()),
        *verdict["compared"].items(),
        *((f"ended {end}", n) for end, n in verdict["ends"].items()),
        *((f"**{rule}**", f"**{len(found)}**") for rule, found in verdict["broken"].items()),
    ]
    head = f"seed {seed}, {seconds:.0f} s, {len(world.machines)} nodes"
    return "\n".join([f"| {head} | |", "|---|---:|", *(f"| {name} | {value} |" for name, value in rows)])
