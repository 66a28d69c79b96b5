"""Readers for the sandbox's tests. The body of a page is the order what to do to the process that reads it."""

from __future__ import annotations

import ctypes
import os
import time
from datetime import datetime
from pathlib import Path

from newsmill.model import Block, BlockType, Ending, Outcome, Page, Reading, Rules

hoard: list[bytes] = []


def obey(page: Page, *, rules: Rules, language: str | None, first_seen_at: datetime | None) -> Reading:
    """Do what the body says, then return a reading that tells what arrived."""
    word, _, argument = page.body.decode("utf-8", "replace").partition(" ")
    match word:
        case "segv":
            ctypes.string_at(0)
        case "loop":
            while True:
                pass
        case "sleep":
            time.sleep(float(argument or 3600))
        case "allocate":
            hoard.append(b"x" * (2 << 30))
        case "grow":
            hoard.append(os.urandom(int(argument) << 20))
        case "exit":
            os._exit(3)
        case "raise":
            raise ValueError(argument)
        case "kill-once":
            mark = Path(argument)
            if not mark.exists():
                mark.touch()
                os.kill(os.getpid(), 9)
        case "surrogate":
            return _reading(page, "a\ud800b\0c")
        case "nonsense":
            return Reading(ending=Ending("no such outcome"))  # type: ignore[arg-type]
    return _reading(page, f"{word} {language} {','.join(rules.drop_css)} {first_seen_at} {os.getpid()}")


def _reading(page: Page, text: str) -> Reading:
    return Reading(Ending(Outcome.NO_TEXT, page.url), blocks=(Block(BlockType.PARAGRAPH, text),))
