"""The type of an image, read from its first bytes; nothing is decoded.

An image is a JPEG, PNG, GIF or WebP. The type that a server states is not used: an SVG or a page called `image/png` would be more than
an image.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

MAX_PIXELS = 50_000_000  # of an image, 200 MB in a browser's memory
MAX_JPEG_SEGMENTS = 1000  # before the size of a JPEG, fill bytes included; a camera writes some twenty
_WITHOUT_SIZE = frozenset((0x01, *range(0xD0, 0xD9)))  # JPEG markers that stand alone
_FRAME_STARTS = frozenset((*range(0xC0, 0xD0),)) - {0xC4, 0xC8, 0xCC}


@dataclass(frozen=True, slots=True)
class Raster:
    """The type and size of an image."""

    media_type: str
    width: int
    height: int


def read_raster(content: bytes) -> Raster | None:
    """The image that the bytes begin; None for anything else, and for one without pixels or with more than MAX_PIXELS.

    >>> read_raster(b"GIF89a" + bytes([2, 0, 3, 0]))
    Raster(media_type='image/gif', width=2, height=3)
    """
    for magic, media_type, read_size in _KINDS:
        if content.startswith(magic):
            try:
                width, height = read_size(content)
            except (struct.error, IndexError):
                return None
            return Raster(media_type, width, height) if 0 < width * height <= MAX_PIXELS else None
    return None


def _png_size(content: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from(">II", content, 16)
    return (width, height) if content[12:16] == b"IHDR" else (0, 0)


def _gif_size(content: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from("<HH", content, 6)
    return width, height


def _webp_size(content: bytes) -> tuple[int, int]:
    """The size in the first chunk: lossy, lossless or extended (https://developers.google.com/speed/webp/docs/riff_container)."""
    if content[8:12] != b"WEBP":
        return 0, 0
    match content[12:16]:
        case b"VP8 ":
            width, height = struct.unpack_from("<HH", content, 26)
            return width & 0x3FFF, height & 0x3FFF
        case b"VP8L":
            (bits,) = struct.unpack_from("<I", content, 21)
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case b"VP8X":
            low_width, high_width, low_height, high_height = struct.unpack_from("<HBHB", content, 24)
            return low_width + (high_width << 16) + 1, low_height + (high_height << 16) + 1
    return 0, 0


def _jpeg_size(content: bytes) -> tuple[int, int]:
    """The size in the frame header (ITU T.81, B.2.2), behind segments that each state their length."""
    at = 2
    for _ in range(MAX_JPEG_SEGMENTS):
        if content[at] != 0xFF:
            break
        marker = content[at + 1]
        if marker in _FRAME_STARTS:
            height, width = struct.unpack_from(">HH", content, at + 5)
            return width, height
        if marker == 0xFF or marker in _WITHOUT_SIZE:  # fill bytes may stand before a marker
            at += 1 if marker == 0xFF else 2
        else:
            (length,) = struct.unpack_from(">H", content, at + 2)
            at += 2 + max(length, 2)
    return 0, 0


_KINDS: tuple[tuple[bytes, str, Callable[[bytes], tuple[int, int]]], ...] = (
    (b"\xff\xd8\xff", "image/jpeg", _jpeg_size),
    (b"\x89PNG\r\n\x1a\n", "image/png", _png_size),
    (b"GIF87a", "image/gif", _gif_size),
    (b"GIF89a", "image/gif", _gif_size),
    (b"RIFF", "image/webp", _webp_size),
)
