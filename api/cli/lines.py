"""Lines of a stream of JSON, which a line feed ends and nothing else: its text may hold Unicode's other line ends."""


class Lines:
    """Puts lines together from pieces as they come. What is cut off at the end is no line."""

    def __init__(self) -> None:
        self._rest: list[bytes] = []

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that are whole now, empty ones left out."""
        head, *lines = data.split(b"\n")
        self._rest.append(head)
        if not lines:
            return []
        whole = b"".join(self._rest)
        self._rest = [lines.pop()]
        return [line for line in (whole, *lines) if line]
