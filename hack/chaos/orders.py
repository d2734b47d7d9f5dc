"""The commands that are sent: each appends its id to the node's truth, and some write output known beforehand."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A command, and what must come of it when nothing interferes."""

    id: str
    sort: str
    action: str
    exit_code: int = 0
    output: bytes | None = b""
    """None: random, and the node keeps a copy."""
    cancel_after: float | None = None
    params: dict[str, Any] = field(
        default_factory=lambda: {"timeout": "20s", "grace": "1s", "delivery_timeout": "48h"}
    )

    def expected(self) -> dict[str, Any]:
        """The facts for the journal."""
        output = None if self.output is None else self.output.decode()
        return {"id": self.id, "sort": self.sort, "exit_code": self.exit_code, "output": output}


Maker = Callable[[str, random.Random], Order]


def make(id_: str, rng: random.Random) -> Order:
    """Some order, drawn."""
    makers, weights = zip(*_MAKERS.items(), strict=True)
    maker: Maker = rng.choices(makers, weights)[0]
    return maker(id_, rng)


def quick(id_: str) -> Order:
    """One that takes no time."""
    return Order(id=id_, sort="quiet", action=_line(id_))


def _line(id_: str) -> str:
    return f"echo {id_} >>$HOME/truth"


def _quiet(id_: str, rng: random.Random) -> Order:
    """Some wait for their node less long than the server's clock jumps."""
    params = {"timeout": "20s", "delivery_timeout": rng.choice(["1h", "48h", "48h", "48h"])}
    return Order(id=id_, sort="quiet", action=_line(id_), params=params)


def _plain(id_: str, rng: random.Random) -> Order:
    lines = rng.randint(1, 300)
    output = "".join(f"{i} of {id_}\n" for i in range(1, lines + 1)).encode()
    action = f'{_line(id_)}; i=1; while [ $i -le {lines} ]; do echo "$i of {id_}"; i=$((i+1)); done'
    return Order(id=id_, sort="plain", action=action, output=output)


def _failing(id_: str, rng: random.Random) -> Order:
    code = rng.choice([1, 3, 126, 255])
    action = f"{_line(id_)}; echo failing; exit {code}"
    return Order(id=id_, sort="failing", action=action, output=b"failing\n", exit_code=code)


def _random(id_: str, rng: random.Random) -> Order:
    size = rng.choices([1, 4096, 65_536, 65_537, 300_000, 2_000_000], [6, 6, 6, 6, 4, 1])[0]
    action = f"{_line(id_)}; head -c {size} /dev/urandom | tee $HOME/copies/{id_}"
    return Order(id=id_, sort="random", action=action, output=None)


def _slow(id_: str, rng: random.Random) -> Order:
    pieces, pause = rng.randint(2, 12), rng.choice(["0.1", "0.3", "0.5"])
    output = "".join(f"piece {i}\n" for i in range(pieces)).encode()
    action = f'{_line(id_)}; i=0; while [ $i -lt {pieces} ]; do echo "piece $i"; sleep {pause}; i=$((i+1)); done'
    return Order(id=id_, sort="slow", action=action, output=output)


def _endless(id_: str, rng: random.Random) -> Order:
    """Ended by its time limit, or by a cancel."""
    params = {"timeout": rng.choice(["2s", "20s"]), "grace": "1s", "delivery_timeout": "48h"}
    action = f"{_line(id_)}; setsid sleep 30 & sleep 30"
    after = rng.uniform(0, 2) if params["timeout"] == "20s" else None
    return Order(id=id_, sort="endless", action=action, params=params, cancel_after=after)


_MAKERS: dict[Maker, int] = {_quiet: 40, _plain: 20, _failing: 5, _random: 15, _slow: 15, _endless: 6}
