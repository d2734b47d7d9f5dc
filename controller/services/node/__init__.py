"""POSIX shell that is run on nodes for the sake of their services."""

from functools import cache
from importlib.resources import files


@cache
def script(name: str) -> str:
    """The text of one of the scripts beside this: `check` or `discover`."""
    return files(__name__).joinpath(f"{name}.sh").read_text()
