"""The gzip members of a body, unpacked in pieces of bounded size."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any

from newsmill.discovery.body_kind import GZIP_MAGIC

MAX_GZIP_MEMBERS = 10_000  # of a file; one of 50 MB in blocks of 64 KiB, as bgzip writes, has 800
_PIECE_BYTES = 64 * 1024  # unpacked at once, so that a decompression bomb is noticed in time


class GzipDecompressor:
    """A stream of gzip members in, their content out. `is_complete` is True while no member is open."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(wbits=31)  # 31: a gzip header and trailer around the largest window
        self._pending = b""  # a first byte that may begin another member
        self._members = 1
        self.ignored = 0  # bytes after the last member that are neither padding nor another member

    @property
    def is_complete(self) -> bool:
        return self._member.eof

    def decompress(self, packed: bytes) -> Iterator[bytes]:
        """The content of these bytes, in pieces of at most 64 KiB, up to damage, which raises zlib.error. Ignores padding at the end."""
        while packed:
            if self._member.eof:
                packed = (self._pending + packed).lstrip(b"\0")
                self._pending = packed if packed == GZIP_MAGIC[:1] else b""
                if self.ignored or not packed.startswith(GZIP_MAGIC):
                    self.ignored += len(packed) - len(self._pending)
                    return
                self._members += 1
                if self._members > MAX_GZIP_MEMBERS:
                    raise zlib.error(f"more than {MAX_GZIP_MEMBERS:,} members")
                self._member = zlib.decompressobj(wbits=31)
            before = self._member.copy()
            try:
                piece = self._member.decompress(packed, _PIECE_BYTES)
            except zlib.error:
                yield from _decompress_before_damage(before, packed)
                raise
            yield piece
            packed = self._member.unconsumed_tail or self._member.unused_data


def _decompress_before_damage(member: Any, packed: bytes) -> Iterator[bytes]:
    """The content before the first invalid byte: a call of zlib that fails returns nothing."""
    for at in range(len(packed)):
        try:
            yield member.decompress(packed[at : at + 1])
        except zlib.error:
            return
