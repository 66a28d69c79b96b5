"""gzip undone piece by piece, so that a bomb is noticed before it has gone off. Knows nothing of what is inside."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

MAGIC = b"\x1f\x8b"
_PIECE = 64 * 1024  # bytes unpacked at once


class Gunzip:
    """A stream of gzip members in, their content out. `done` is True while no member is left open."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(wbits=31)  # 31: a gzip header and trailer around the largest window

    @property
    def done(self) -> bool:
        return self._member.eof

    def pieces(self, packed: bytes) -> Iterator[bytes]:
        """What these bytes unpack to, at most 64 KiB at a time. Padding after the last member is ignored. Raises zlib.error."""
        while packed:
            if self._member.eof:
                packed = packed.lstrip(b"\0")
                if not packed.startswith(MAGIC):
                    return
                self._member = zlib.decompressobj(wbits=31)
            yield self._member.decompress(packed, _PIECE)
            packed = self._member.unconsumed_tail or self._member.unused_data

    def rest(self) -> bytes:
        """What the stream still holds when no bytes follow."""
        return self._member.flush()
