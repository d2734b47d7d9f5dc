"""A small file system of its own, that can be filled to the last byte without hurting anybody else."""

import errno
import os
import subprocess
from pathlib import Path


class Disk:
    """A tmpfs at `place`; it goes with the mount namespace that this process lives in."""

    def __init__(self, place: Path, *, megabytes: int) -> None:
        self.place = place
        self._filler = place / ".filler"
        place.mkdir(exist_ok=True)
        options = f"size={megabytes}m,mode=700"
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", place], check=True)

    def fill(self) -> None:
        """Take every byte that is left. May be called again, when something was deleted meanwhile."""
        with self._filler.open("ab", buffering=0) as filler:
            block = 1 << 20
            while block:
                try:
                    os.posix_fallocate(filler.fileno(), filler.seek(0, os.SEEK_END), block)
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                    block //= 2

    def free(self) -> None:
        """Give it back."""
        self._filler.unlink(missing_ok=True)
