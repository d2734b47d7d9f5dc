"""From measurements to the rows of the table, with what they are compared to and the aim."""

import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from hack.bench.ssh.measure import OURS, Results
from hack.bench.ssh.work import Result

Figure = Callable[[Result], float]


def rate(r: Result) -> float:
    return r.count / r.seconds


def milliseconds(r: Result) -> float:
    return r.seconds * 1000


def cpu_ms(r: Result) -> float:
    return r.cpu / r.count * 1000


def p50(r: Result) -> float:
    return statistics.median(r.times)


def p99(r: Result) -> float:
    return sorted(r.times)[int(len(r.times) * 0.99)]


def kib(r: Result) -> float:
    return r.kib_each


def percent(r: Result) -> float:
    return r.cpu / r.seconds * 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Number `number` of the performance targets: `figure` of ours over that of `peer`."""

    number: int
    title: str
    what: str
    figure: Figure
    peer: str
    aim: str


COMPARISONS = (
    Comparison(
        number=1,
        title="commands/s",
        what="rate",
        figure=rate,
        peer="parallel-ssh burst",
        aim="sh >= 0.7, perl >= 1.2",
    ),
    Comparison(number=2, title="commands/s", what="rate", figure=rate, peer="parallel-ssh", aim=">= 2"),
    Comparison(number=2, title="commands/s", what="rate", figure=rate, peer="ansible raw", aim=">= 4"),
    Comparison(number=3, title="client CPU, ms a command", what="rate", figure=cpu_ms, peer="ssh -S", aim="<= 0.125"),
    Comparison(
        number=3, title="client CPU, ms a command", what="rate", figure=cpu_ms, peer="ansible raw", aim="<= 0.04"
    ),
    Comparison(number=4, title="warm p50, ms", what="latency", figure=p50, peer="bare asyncssh", aim="<= 3"),
    Comparison(number=4, title="warm p50, ms", what="latency", figure=p50, peer="ssh -S", aim="<= 1"),
    Comparison(
        number=4, title="warm p99, ms", what="latency", figure=p99, peer="bare asyncssh", aim="no 40 ms stall"
    ),
    Comparison(
        number=5,
        title="connect and first command, ms",
        what="cold",
        figure=milliseconds,
        peer="bare asyncssh",
        aim="<= 0.7",
    ),
    Comparison(
        number=5,
        title="connect and first command, ms",
        what="cold",
        figure=milliseconds,
        peer="parallel-ssh",
        aim="<= 0.35",
    ),
    Comparison(number=6, title="KiB a connection", what="idle", figure=kib, peer="bare asyncssh", aim="<= 1.5"),
    Comparison(
        number=6, title="keepalive CPU, % of a core", what="idle", figure=percent, peer="bare asyncssh", aim="<= 2 %"
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One comparison of one of ours."""

    number: int
    title: str
    ours: str
    ours_is: float
    peer: str
    peer_is: float
    ratio: float
    aim: str


def table(results: Results, wanted: set[int]) -> list[Row]:
    """The rows that were asked for."""
    return [row for c in COMPARISONS if c.number in wanted for row in compared(c, results.get(c.what, {}))]


def compared(c: Comparison, found: dict[str, list[Result]]) -> Iterator[Row]:
    theirs = [c.figure(r) for r in found.get(c.peer, ())]
    for name, rounds in found.items():
        if not theirs or not name.startswith(tuple(OURS)):
            continue
        mine = [c.figure(r) for r in rounds]
        yield Row(
            number=c.number,
            title=c.title,
            ours=name,
            ours_is=statistics.median(mine),
            peer=c.peer,
            peer_is=statistics.median(theirs),
            ratio=statistics.median(a / b if b else 0.0 for a, b in zip(mine, theirs, strict=True)),
            aim=c.aim,
        )


def text(results: Results, found: list[Row]) -> str:
    """Both tables, in Markdown."""
    return "\n".join([*measured(results), "", *ratios(found)])


def measured(results: Results) -> Iterator[str]:
    yield "| contender | commands/s (min-max) | client CPU ms | p50 / p99 ms | cold ms | KiB each | idle CPU % |"
    yield "|---|---|---|---|---|---|---|"
    for name in dict.fromkeys(name for by in results.values() for name in by):
        get = {what: by.get(name, []) for what, by in results.items()}
        cells = [
            spread(get.get("rate", []), rate, "{:.0f}"),
            middle(get.get("rate", []), cpu_ms, "{:.2f}"),
            f"{middle(get.get('latency', []), p50, '{:.2f}')} / {middle(get.get('latency', []), p99, '{:.2f}')}",
            middle(get.get("cold", []), milliseconds, "{:.0f}"),
            middle(get.get("idle", []), kib, "{:.1f}"),
            middle(get.get("idle", []), percent, "{:.2f}"),
        ]
        yield f"| {name} | {' | '.join(cells)} |"


def middle(rounds: list[Result], figure: Figure, form: str) -> str:
    return form.format(statistics.median(map(figure, rounds))) if rounds else "-"


def spread(rounds: list[Result], figure: Figure, form: str) -> str:
    if not rounds:
        return "-"
    low, high = form.format(min(map(figure, rounds))), form.format(max(map(figure, rounds)))
    return f"{middle(rounds, figure, form)} ({low}-{high})"


def ratios(found: list[Row]) -> Iterator[str]:
    yield "| # | what | ours | | peer | | ratio | aim |"
    yield "|---|---|---|---|---|---|---|---|"
    for r in found:
        figures = f"{r.ours} | {r.ours_is:.2f} | {r.peer} | {r.peer_is:.2f} | {r.ratio:.3f}x"
        yield f"| {r.number} | {r.title} | {figures} | {r.aim} |"
