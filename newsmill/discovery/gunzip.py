"""gzip undone piece by piece, so that a bomb is noticed before it has gone off. Knows nothing of what is inside."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any

MAGIC = b"\x1f\x8b"
_PIECE = 64 * 1024  # bytes unpacked at once


class Gunzip:
    """A stream of gzip members in, their content out. `done` is True while no member is left open."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(wbits=31)  # 31: a gzip header and trailer around the largest window
        self._held = b""  # a first byte that may begin another member
        self.ignored = 0  # bytes after the last member that are neither padding nor another member

    @property
    def done(self) -> bool:
        return self._member.eof

    def pieces(self, packed: bytes) -> Iterator[bytes]:
        """What these bytes unpack to, some 64 KiB at a time. Padding after the last member is ignored.

        Raises zlib.error where the stream is damaged, after all that came before the damage.
        """
        while packed:
            if self._member.eof:
                packed = (self._held + packed).lstrip(b"\0")
                self._held = packed if packed == MAGIC[:1] else b""
                if self.ignored or not packed.startswith(MAGIC):
                    self.ignored += len(packed) - len(self._held)
                    return
                self._member = zlib.decompressobj(wbits=31)
            before = self._member.copy()
            try:
                piece = self._member.decompress(packed, _PIECE)
            except zlib.error:
                yield from _before_damage(before, packed)
                raise
            yield piece
            packed = self._member.unconsumed_tail or self._member.unused_data


def _before_damage(member: Any, packed: bytes) -> Iterator[bytes]:
    """What the bytes unpack to before the one that makes no sense: zlib hands nothing out of a call in which it fails."""
    for at in range(len(packed)):
        try:
            yield member.decompress(packed[at : at + 1])
        except zlib.error:
            return
