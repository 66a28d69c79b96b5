"""Random changes of seeds, for Pythons without a wheel of atheris. Blind to coverage, but it repeats pieces, which makes parsers hang."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random


def mutate(random: Random, corpus: Sequence[bytes], tokens: Sequence[bytes], most: int) -> bytes:
    """One input: a seed with one to eight changes, of at most `most` bytes."""
    data = bytearray(random.choice(corpus)[:most])
    for _ in range(random.randint(1, 8)):
        at, end = sorted((random.randint(0, len(data)), random.randint(0, len(data))))
        end = min(end, at + random.choice((1, 8, 64, 4_096)))
        match random.randrange(6):
            case 0:
                del data[at:end]
            case 1:
                data[at:at] = data[at:end] * random.choice((1, 2, 100))
            case 2:
                data[at:at] = random.choice(tokens) * random.choice((1, 1, 1, 50))
            case 3:
                data[at : at + 1] = bytes((random.randrange(256),))
            case 4:
                other = random.choice(corpus)
                start = random.randint(0, len(other))
                data[at:end] = other[start : start + random.choice((8, 64, 1_024))]
            case _:
                data[at:at] = chr(random.choice((0x0, 0xB, 0x301, 0x200D, 0x202E, 0xFFFE, 0x1F600, random.randrange(0xD7FF)))).encode()
        del data[most:]
    return bytes(data)
