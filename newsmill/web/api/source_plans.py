"""A source as the API shows it and takes it: the keys of sources.toml, in JSON. What is allowed, newsmill/sources.py says."""

from __future__ import annotations

from datetime import date
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from newsmill.model import Source
from newsmill.sources import format_duration
from newsmill.web.api.responses import Address, Words


class RulesIn(BaseModel):
    """What to drop from a source's pages, what to keep of them, and where their fields stand."""

    model_config = ConfigDict(extra="forbid", from_attributes=True)
    drop_css: list[Words] = Field(default=[], max_length=200)
    drop_xpath: list[Words] = Field(default=[], max_length=200)
    drop_lines: list[Words] = Field(default=[], max_length=200)
    keep_css: list[Words] = Field(default=[], max_length=200)
    keep_xpath: list[Words] = Field(default=[], max_length=200)
    fields: dict[str, Words] = Field(default={}, max_length=200)
    expires: date | None = None


class PolitenessIn(BaseModel):
    """How gently the hosts are asked."""

    model_config = ConfigDict(extra="forbid", from_attributes=True)
    delay: float = Field(default=1.0, ge=0, le=3600, description="Seconds between two requests to one host.")
    concurrency: int = Field(default=1, ge=1, le=16, description="Requests in flight to one host.")


class ExpectIn(BaseModel):
    """What a source should yield."""

    model_config = ConfigDict(extra="forbid")
    documents_per_day: int | None = Field(default=None, ge=0, le=1 << 31)


class Plan(BaseModel):
    """The keys of one table of sources.toml."""

    model_config = ConfigDict(extra="forbid")
    homepage: Address | None = None
    feeds: list[Address] = Field(default=[], max_length=200)
    sitemaps: list[Address] = Field(default=[], max_length=200)
    sections: list[Address] = Field(default=[], max_length=200)
    language: str | None = Field(default=None, max_length=40, description='For pages that do not say, such as "de".')
    every: str | None = Field(default=None, max_length=40, description='"15m", "2h", "1d"; 15 minutes unless this or `cron` is said.')
    cron: Words | None = Field(default=None, description="Five cron fields, UTC.")
    allow: list[Words] = Field(default=[], max_length=200, description="Regular expressions; an article's address must match one.")
    deny: list[Words] = Field(default=[], max_length=200, description="And none of these.")
    rules: RulesIn = RulesIn()
    politeness: PolitenessIn = PolitenessIn()
    expect: ExpectIn = ExpectIn()
    discover: bool = True
    enabled: bool = True


class SourceIn(Plan):
    """A source to follow, or what to change of one."""

    name: str | None = Field(default=None, max_length=100, description="The homepage's host unless said.")

    def table(self) -> dict[str, Any]:
        """As a parsed table of sources.toml: only what was said, nothing that is null."""
        said = self.model_dump(exclude={"name"}, exclude_unset=True)
        return without_nulls(said)

    def over(self, table: dict[str, Any]) -> dict[str, Any]:
        """`table` with what was said here instead. `every` takes the place of `cron`, and the other way round."""
        said = self.model_dump(exclude={"name"}, exclude_unset=True)
        gone = {"every": "cron", "cron": "every"}
        kept = {key: value for key, value in table.items() if gone.get(key) not in said or said[gone[key]] is None}
        return without_nulls(kept | said)


class SourceOut(Plan):
    """A source that is followed, or paused (`enabled`)."""

    name: str


def without_nulls(table: dict[str, Any]) -> dict[str, Any]:
    """TOML has no null: what is not there is not said. A float stays one, as TOML writes it."""
    return {key: without_nulls(value) if isinstance(value, dict) else value for key, value in table.items() if value is not None}


def shown(source: Source) -> SourceOut:
    """The noun as the API shows it."""
    return SourceOut(name=source.name, **table_of(source))


def table_of(source: Source) -> dict[str, Any]:
    """The noun as a parsed table of sources.toml."""
    rules = RulesIn.model_validate(source.rules).model_dump(exclude_none=True)
    table: dict[str, Any] = {
        "homepage": source.homepage,
        **{key: list(getattr(source, key)) for key in ("feeds", "sitemaps", "sections", "allow", "deny")},
        "language": source.language,
        "every": None if source.every is None else format_duration(source.every),
        "cron": source.cron,
        "rules": rules,
        "politeness": {"delay": source.politeness.delay, "concurrency": source.politeness.concurrency},
        "expect": dict(source.expect),
        "discover": source.discover,
        "enabled": source.enabled,
    }
    return without_nulls(table)
