"""The rules by which the stories of a store are decided: the version of the terms, and whether languages stay apart.

They are the same for every process. When the scheduler changes them, it notes all texts again, some at a time and the newest first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, bindparam, func, select

from newsmill.storage.database import reading, writing
from newsmill.storage.dialects import Upsert
from newsmill.storage.due_stories import count_due, note_due
from newsmill.storage.schema import story_rules, story_texts
from newsmill.stories import TERMS_VERSION

MAX_NOTED = 2000  # texts at a time

_READ = select(story_rules)
_PUT = Upsert(story_rules, ("number",), lambda new: {name: new[name] for name in ("terms_version", "across_languages", "noted")})
_TEXTS = select(story_texts.c.ledger_id).where(story_texts.c.ledger_id < bindparam("b_noted")).order_by(story_texts.c.ledger_id.desc())


@dataclass(frozen=True, slots=True)
class StoryRules:
    """`noted`: the texts of pages below it are not noted since the rules changed; None: all are."""

    terms_version: int = 1
    across_languages: bool = False
    noted: int | None = None


def read_rules(conn: Connection) -> StoryRules:
    """The rules of the store."""
    row = conn.execute(_READ).one_or_none()
    return StoryRules() if row is None else StoryRules(row.terms_version, row.across_languages, row.noted)


def set_rules(engine: Engine, *, across_languages: bool) -> None:
    """Change the rules if they are others, and note some texts whose stories were decided by the old ones. Raises ServiceError."""
    with reading(engine) as conn:
        rules = read_rules(conn)
    is_changed = (rules.terms_version, rules.across_languages) != (TERMS_VERSION, across_languages)
    if not is_changed and rules.noted is None:  # nearly always: no write lock is needed
        return
    with writing(engine) as conn:
        noted: Any = conn.execute(select(func.max(story_texts.c.ledger_id) + 1)).scalar() if is_changed else rules.noted
        if noted is not None and count_due(conn) < MAX_NOTED:
            pages = conn.execute(_TEXTS.limit(MAX_NOTED), {"b_noted": noted}).scalars().all()
            note_due(conn, pages)
            noted = pages[-1] if len(pages) == MAX_NOTED else None
        values = {"number": 1, "terms_version": TERMS_VERSION, "across_languages": across_languages, "noted": noted}
        _PUT.run(conn, [values])
