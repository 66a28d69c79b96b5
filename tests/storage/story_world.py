"""Documents that tell the same events in different words, and the decisions on their stories."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import timedelta

from rows import NOON, document_of
from sqlalchemy import Engine

from newsmill.model import Document
from newsmill.storage import copy_groups, due_stories, fingerprints, story_decisions

SYLLABLES = ("ka", "ro", "mi", "tel", "van", "du", "sor", "bel", "nik", "ha", "pru", "ost")


def make_name(rng: random.Random) -> str:
    return "".join(rng.sample(SYLLABLES, 3)).capitalize()


def make_event(rng: random.Random, number: int, texts: int) -> list[Document]:
    """Documents about one event: its names recur, the words around them differ."""
    names = [f"{make_name(rng)} {make_name(rng)}" for _ in range(4)]
    found = []
    for index in range(texts):
        sentences = []
        for name in (*names, *names):
            filler = " ".join(make_name(rng).lower() for _ in range(4))
            sentences.append(f"On {filler} there was {name} of {names[0]} and {rng.randrange(100, 999)}.")
        url = f"https://site{index}.example/{number}"
        title = f"{names[0]} meets {names[1]}"
        document = document_of(url, text=" ".join(sentences), title=title, source=f"site{index}", language="en")
        at = NOON + timedelta(minutes=rng.randrange(600))
        found.append(replace(document, published_at=at, first_seen_at=at))
    return found


def settle(engine: Engine) -> None:
    fingerprints.catch_up(engine, 1000)
    copy_groups.catch_up(engine, 1000)
    story_decisions.catch_up(engine, 1000, now=NOON)
    assert due_stories.pending(engine) == 0


def make_world() -> list[Document]:
    """Three events of four, three and two texts, an event of one, and a copy of the first text."""
    rng = random.Random(7)
    found = [document for number, texts in enumerate((4, 3, 2, 1)) for document in make_event(rng, number, texts)]
    copy = document_of("https://copy.example/0", text=found[0].text, title="A copy", source="copier", language="en")
    at = NOON + timedelta(hours=12)
    return [*found, replace(copy, published_at=at, first_seen_at=at)]
