"""Cutting the output log to what a reader asked for."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from controller.store.base import Chunk, Stream

MAX_CHUNKS = 4096
"""The most chunks of one read, however small they are."""


def place(chunk: Chunk, stream: Stream | None) -> int:
    """Where a chunk begins in a view: its own stream, or (None) both in read order."""
    return chunk.position if stream is None else chunk.offset


def cut(chunks: Iterable[Chunk], stream: Stream | None, start: int, limit: int) -> Sequence[Chunk]:
    """The bytes from `start` on, at most `limit`, of chunks that are in order and reach `start` or beyond."""
    found: list[Chunk] = []
    left = limit
    for chunk in chunks:
        if left <= 0 or len(found) == MAX_CHUNKS:
            break
        skip = max(0, start - place(chunk, stream))
        data = chunk.data[skip : skip + left]
        if data:
            found.append(_part(chunk, skip, data))
            left -= len(data)
    return found


def _part(chunk: Chunk, skip: int, data: bytes) -> Chunk:
    if len(data) == len(chunk.data):
        return chunk
    return replace(chunk, offset=chunk.offset + skip, position=chunk.position + skip, data=data)
