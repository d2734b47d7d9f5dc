"""The inline excerpt of a command's output: at most 32 KiB from the head and 32 KiB from the tail (C-10)."""

from collections.abc import Sequence
from dataclasses import dataclass

from controller.resources.command import INLINE_HEAD, INLINE_TAIL
from controller.store.base import Append, Chunk, Store, Stream

INLINE = INLINE_HEAD + INLINE_TAIL


@dataclass(frozen=True, slots=True, kw_only=True)
class Excerpt:
    """Text of both streams in read order, and of each alone. `cut` says that something in the middle is left out."""

    output: str
    stdout: str
    stderr: str
    cut: bool


async def excerpt(store: Store, command_uid: str, extra: Sequence[Append] = ()) -> Excerpt:
    """Of what is stored, followed by appends that are about to be written with the result."""
    stored = sum(store.output_sizes(command_uid))
    views: dict[Stream | None, bytes] = {}
    cut = False
    for view in (None, "stdout", "stderr"):
        tail = b"".join(a.data for a in extra if view is None or a.stream == view)
        head = await _ends(store, command_uid, view) if stored else b""
        views[view], was_cut = _clip(head, tail, _size(store, command_uid, view))
        cut = cut or was_cut
    return Excerpt(
        output=_text(_chomp(views[None])), stdout=_text(views["stdout"]), stderr=_text(views["stderr"]), cut=cut
    )


def _size(store: Store, command_uid: str, view: Stream | None) -> int:
    out, err = store.output_sizes(command_uid)
    return out + err if view is None else out if view == "stdout" else err


async def _ends(store: Store, command_uid: str, view: Stream | None) -> bytes:
    """Head and tail of one view of the log, together; all of it when it is short."""
    size = _size(store, command_uid, view)
    if size <= INLINE:
        return _join(await store.read_output(command_uid, stream=view, offset=0, limit=INLINE), INLINE)
    head = _join(await store.read_output(command_uid, stream=view, offset=0, limit=INLINE_HEAD), INLINE_HEAD)
    tail_from = size - INLINE_TAIL
    tail = b""
    while len(tail) < INLINE_TAIL:
        chunks = await store.read_output(command_uid, stream=view, offset=tail_from + len(tail), limit=INLINE_TAIL)
        if not chunks:
            break
        tail += _join(chunks, INLINE_TAIL)
    return head + tail[:INLINE_TAIL]


def _join(chunks: Sequence[Chunk], limit: int) -> bytes:
    return b"".join(c.data for c in chunks)[:limit]


def _clip(stored: bytes, extra: bytes, size: int) -> tuple[bytes, bool]:
    """Head and tail of stored bytes (`size` in truth, perhaps clipped already) followed by more."""
    both = stored + extra
    if len(both) <= INLINE:
        return both, size > len(stored)
    return both[:INLINE_HEAD] + both[-INLINE_TAIL:], True


def _chomp(data: bytes) -> bytes:
    """Without exactly one trailing newline (C-6)."""
    return data.removesuffix(b"\n")


def _text(data: bytes) -> str:
    """Invalid UTF-8 is replaced, and so is NUL, which no API text may hold."""
    return data.decode(errors="replace").replace("\x00", "\ufffd")
