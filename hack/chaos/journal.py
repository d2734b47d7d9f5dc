"""The evidence: one file of JSON lines for each sort of fact, written as it happens and never read here."""

import itertools
import json
import time
from pathlib import Path
from typing import Any


class Journal:
    """Facts below one folder. `moment` orders them: later facts have higher numbers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.outputs = folder / "outputs"
        self.outputs.mkdir(parents=True)
        self._moments = itertools.count(1)
        self._files: dict[str, Any] = {}

    def moment(self) -> int:
        """A number higher than all before."""
        return next(self._moments)

    def note(self, sort: str, /, **facts: Any) -> None:
        """Write one fact down."""
        if sort not in self._files:
            self._files[sort] = (self.folder / f"{sort}.jsonl").open("a", buffering=1)
        self._files[sort].write(
            json.dumps({"moment": self.moment(), "at": round(time.monotonic(), 2), **facts}) + "\n"
        )

    def close(self) -> None:
        """No more facts."""
        for file in self._files.values():
            file.close()
