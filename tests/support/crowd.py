# ruff: noqa: T201 - what it prints are its answers
"""Many clients of the event stream in a process of their own, on one epoll: `crowd.py PORT READERS STUCK`.

The stuck ones ask for the stream and never read. Speaks one JSON line for each line that it is given:

    until N   {"least": …, "seconds": …}  when each reader has N events, or none has had a new one for 20 s
    ages      {"p50": …, "p99": …, "max": …}  how old events were when they came, in seconds (`sent-<ns>` in them)
    ended     {"ended": …, "seconds": …}  how many streams have ended
"""

import contextlib
import json
import re
import resource
import selectors
import socket
import sys
import time

MARK = b"\ndata: "
SENT = re.compile(rb'sent-(\d{19,20})"')
KEEP = 64
PATIENCE = 20.0


class Reader:
    """One client that reads all it gets."""

    __slots__ = ("count", "socket", "tail")

    def __init__(self, client: socket.socket) -> None:
        self.socket, self.count, self.tail = client, 0, b""

    def read(self, ages: list[float]) -> bool:
        """Take what there is. False at the end."""
        try:
            data = self.socket.recv(1 << 18)
        except BlockingIOError:
            return True
        except ConnectionResetError:
            return False
        whole, before = self.tail + data, self.tail
        self.count += whole.count(MARK) - before.count(MARK)
        now = time.time_ns()
        known = {match.start() for match in SENT.finditer(before)}
        ages.extend((now - int(match[1])) / 1e9 for match in SENT.finditer(whole) if match.start() not in known)
        self.tail = whole[-KEEP:]
        return bool(data)


class Crowd:
    """All of them."""

    def __init__(self, port: int, readers: int, stuck: int) -> None:
        self._selector = selectors.EpollSelector()
        self._ages: list[float] = []
        self._stuck = [self._connect(port, receive_buffer=4096) for _ in range(stuck)]
        self._readers = [Reader(self._connect(port)) for _ in range(readers)]
        self._over = 0
        for reader in self._readers:
            reader.socket.setblocking(False)
            self._selector.register(reader.socket, selectors.EVENT_READ, reader)

    def _connect(self, port: int, *, receive_buffer: int = 0) -> socket.socket:
        client = socket.socket()
        if receive_buffer:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            # Segments as on a network: with those of loopback the server's own buffer would hold megabytes.
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1400)
        client.settimeout(30)
        client.connect(("127.0.0.1", port))
        client.sendall(b"GET /ws?types=node_registered HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n" % port)
        return client

    def until(self, wanted: int) -> dict[str, float]:
        """Read until each reader has so many events."""
        begun = moved = time.monotonic()
        while self.least < wanted and time.monotonic() - moved < PATIENCE and not self._over:
            if self._round():
                moved = time.monotonic()
        return {"least": self.least, "seconds": time.monotonic() - begun}

    @property
    def least(self) -> int:
        """How many events the one with the fewest has."""
        return min(reader.count for reader in self._readers)

    def ages(self) -> dict[str, float]:
        """Quantiles of what came since the last time."""
        ordered, self._ages = sorted(self._ages), []
        if not ordered:
            return {}
        middle, late = ordered[len(ordered) // 2], ordered[len(ordered) * 99 // 100]
        return {"count": len(ordered), "p50": middle, "p99": late, "max": ordered[-1]}

    def ended(self) -> dict[str, float]:
        """Read on to the ends of all streams."""
        begun = time.monotonic()
        while self._over < len(self._readers) and time.monotonic() - begun < PATIENCE:
            self._round()
        return {"ended": self._over, "seconds": time.monotonic() - begun}

    def _round(self) -> bool:
        ready = self._selector.select(0.1)
        for key, _ in ready:
            if not key.data.read(self._ages):
                self._selector.unregister(key.fileobj)
                self._over += 1
        return bool(ready)


def main(port: int, readers: int, stuck: int) -> None:
    """Do as told, line by line."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, readers + stuck + 256), hard))
    crowd = Crowd(port, readers, stuck)
    print(json.dumps({"connected": readers + stuck}), flush=True)
    for line in sys.stdin:
        word, _, count = line.strip().partition(" ")
        answer = crowd.until(int(count)) if word == "until" else crowd.ages() if word == "ages" else crowd.ended()
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main(*(int(word) for word in sys.argv[1:4]))
