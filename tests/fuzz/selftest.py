"""Targets that are broken on purpose: the driver must find out."""

from __future__ import annotations

import os

from fuzz.target import Target


def _raises(data: bytes) -> None:
    if b"b" in data:
        raise KeyError("b")


def _loops(data: bytes) -> None:
    while b"b" in data:
        pass


def _crashes(data: bytes) -> None:
    if b"b" in data:
        os.abort()


class _Seeded(Target):
    def corpus(self, name: str) -> list[bytes]:
        return [b"a", b"ab"]


TARGETS = {name: _Seeded(run, 0.5, (), (b"b",), 100) for name, run in (("raises", _raises), ("loops", _loops), ("crashes", _crashes))}
