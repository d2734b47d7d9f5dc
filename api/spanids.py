"""Ids of spans: random ones, but for a span whose id others have been told of before it was made."""

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry.sdk.trace.id_generator import RandomIdGenerator


class SpanIds(RandomIdGenerator):
    """For one thread that makes spans."""

    def __init__(self) -> None:
        self._known: int | None = None

    @contextmanager
    def known(self, span_id: int) -> Iterator[None]:
        """The span that is made inside has that id."""
        self._known = span_id
        try:
            yield
        finally:
            self._known = None

    def generate_span_id(self) -> int:
        """The id that is known, or a random one."""
        return super().generate_span_id() if self._known is None else self._known
