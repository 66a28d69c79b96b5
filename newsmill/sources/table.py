"""The keys of a table in sources.toml. The tables are parsed before; this module reads no file."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from datetime import date, timedelta
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from newsmill.exceptions import ConfigError
from newsmill.model import Politeness, Render, Rules, Source, SpiderLimits
from newsmill.sources.table_values import (
    NO_CREDENTIALS,
    SELECTOR_DESCRIPTION,
    SPIDER_PATTERN,
    Pattern,
    Selector,
    Url,
    UrlPattern,
    XPath,
    check_cron,
    format_duration,
    parse_duration,
    parse_freshness,
    parse_spider_time,
)
from newsmill.text.redaction import redact
from newsmill.text.sentences import Sentence, keyed

NAME = re.compile(r"[\w:-][\w.:-]{0,99}", re.ASCII)  # safe in tables, file names, metric labels and URLs, where ".." has a meaning
MAX_REVISITS = 20


def make_name(url: str) -> str:
    """The default name of a source: the host of its homepage without "www.", as a word that TOML takes without quotes. Raises UrlError.

    >>> make_name("https://www.example.org/news"), make_name("http://127.0.0.1:8707/")
    ('example-org', '127-0-0-1-8707')
    """
    from newsmill.text import urls  # loads the public suffix list, which only sources need

    host = urls.get_host(url).removeprefix("www.")
    return re.sub(r"[^a-z0-9_]+", "-", host.lower()).strip("-")[:100] or "source"


# TOML has Booleans and numbers, so "yes" and "5" are errors. Models are built when the first table is parsed, which few commands do.
STRICT = ConfigDict(extra="forbid", strict=True, defer_build=True)


class FieldsTable(BaseModel):
    """`rules.fields = { … }`: the positions of fields on the pages of a source."""

    model_config = STRICT
    title: Selector | None = Field(default=None, description=SELECTOR_DESCRIPTION)
    description: Selector | None = Field(default=None, description=SELECTOR_DESCRIPTION)
    authors: Selector | None = Field(default=None, description=SELECTOR_DESCRIPTION)
    published_at: Selector | None = Field(default=None, description=SELECTOR_DESCRIPTION)
    modified_at: Selector | None = Field(default=None, description=SELECTOR_DESCRIPTION)
    section: Selector | None = Field(default=None, description=SELECTOR_DESCRIPTION)
    language: Selector | None = Field(default=None, description=SELECTOR_DESCRIPTION)


class RulesTable(BaseModel):
    """`rules = { … }`: what to drop from and keep of the pages of a source, and the positions of fields."""

    model_config = STRICT
    drop_css: list[Selector] = Field(default=[], description="a list of CSS selectors")
    drop_xpath: list[XPath] = Field(default=[], description="a list of XPath expressions")
    drop_lines: list[Pattern] = Field(default=[], description="a list of regular expressions, each matching a whole line")
    keep_css: list[Selector] = Field(default=[], description="a list of CSS selectors")
    keep_xpath: list[XPath] = Field(default=[], description="a list of XPath expressions")
    fields: FieldsTable = Field(default=FieldsTable(), description="a table of field names, each with a CSS selector")
    expires: date | None = Field(default=None, description="a date such as 2027-06-30")

    def to_rules(self) -> Rules:
        """The table as a model object."""
        return Rules(
            drop_css=tuple(self.drop_css),
            drop_xpath=tuple(self.drop_xpath),
            drop_lines=tuple(self.drop_lines),
            keep_css=tuple(self.keep_css),
            keep_xpath=tuple(self.keep_xpath),
            fields=self.fields.model_dump(exclude_none=True),
            expires=self.expires,
        )


class PolitenessTable(BaseModel):
    """`politeness = { … }`: limits for requests to the hosts of a source."""

    model_config = STRICT
    delay: float = Field(default=1.0, ge=0, le=3600, description="seconds between two requests to one host, 0 to 3600")
    concurrency: int = Field(default=1, ge=1, le=16, description="parallel requests to one host, 1 to 16")


class ExpectTable(BaseModel):
    """`expect = { … }`: the documents that a source should yield."""

    model_config = STRICT
    documents_per_day: int | None = Field(default=None, ge=0, description="a whole number")


class SpiderLimitsTable(BaseModel):
    """`spider_limits = { … }`: limits of one run of a source's spider."""

    model_config = STRICT
    time: Annotated[timedelta, BeforeValidator(parse_spider_time)] = Field(
        default=timedelta(seconds=SpiderLimits().seconds), strict=False, description='a duration from "10s" to "6h"'
    )
    memory_mb: int = Field(default=SpiderLimits().memory_mb, ge=128, le=8192, description="a whole number of MB, 128 to 8192")
    pages: int = Field(default=SpiderLimits().pages, ge=1, le=100_000, description="a whole number, 1 to 100000")


class SourceTable(BaseModel):
    """One `[sources.NAME]` table. An error prints the description of a key after "expected"."""

    model_config = STRICT
    name: str | None = Field(
        default=None, pattern=f"^{NAME.pattern}$", description="letters, digits and . : _ - (at most 100, no dot first)"
    )
    homepage: Url | None = Field(default=None, description="an http(s) URL")
    feeds: list[Url] = Field(default=[], description="a list of http(s) URLs")
    sitemaps: list[Url] = Field(default=[], description="a list of http(s) URLs")
    sections: list[Url] = Field(default=[], description="a list of http(s) URLs")
    language: str | None = Field(
        default=None, pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$", description='a language tag (BCP 47) such as "de" or "pt-BR"'
    )
    every: Annotated[timedelta, BeforeValidator(parse_duration)] | None = Field(
        None, strict=False, description='a duration such as "15m", "2h" or "1d"'
    )
    cron: Annotated[str, AfterValidator(check_cron)] | None = Field(
        default=None, description='five cron fields such as "*/10 6-22 * * *" (UTC)'
    )
    freshness: Annotated[timedelta, BeforeValidator(parse_freshness)] | None = Field(
        None, strict=False, description='a duration from "1m" to "1d"'
    )
    max_age: Annotated[timedelta, BeforeValidator(parse_duration)] | None = Field(
        None, strict=False, description='a duration such as "15m", "2h" or "1d"'
    )
    allow: list[UrlPattern] = Field(default=[], description="a list of regular expressions")
    deny: list[UrlPattern] = Field(default=[], description="a list of regular expressions")
    rules: RulesTable = Field(
        default=RulesTable(), description="a table with drop_css, drop_xpath, drop_lines, keep_css, keep_xpath, fields and expires"
    )
    politeness: PolitenessTable = Field(default=PolitenessTable(), description="a table with delay and concurrency")
    expect: ExpectTable = Field(default=ExpectTable(), description="a table with documents_per_day")
    discover: bool = Field(default=True, description="true or false")
    enabled: bool = Field(default=True, description="true or false")
    robots: bool = Field(default=True, description="true or false; false only where the publisher permits it")
    trusted: bool = Field(default=False, description="true or false; true where the dates on its pages can be relied on")
    spider: str | None = Field(default=None, pattern=SPIDER_PATTERN, description='"package.module:ClassName" of a Scrapy spider')
    spider_args: dict[str, str] = Field(default={}, description="a table of strings")
    spider_limits: SpiderLimitsTable = Field(default=SpiderLimitsTable(), description="a table with time, memory_mb and pages")
    render: Literal["never", "auto", "always"] = Field(default="never", description='"never", "auto" or "always"')
    revisit: list[Annotated[timedelta, BeforeValidator(parse_duration)]] | None = Field(
        default=None, max_length=MAX_REVISITS, description=f'a list of at most {MAX_REVISITS} durations such as ["1h", "1d"]'
    )

    @model_validator(mode="after")
    def _check_combination(self) -> SourceTable:
        if self.every and self.cron:
            raise ValueError(Sentence("every or cron, not both"))
        if self.freshness and (self.every or self.cron):
            raise ValueError(Sentence("freshness without every and cron, which are fixed times"))
        if not (self.homepage or self.feeds or self.sitemaps or self.sections or self.spider):
            raise ValueError(Sentence("at least one of homepage, feeds, sitemaps, sections and spider"))
        return self

    def to_source(self, name: str) -> Source:
        """The table as a model object; its key `name` overrides the argument."""
        limits = self.spider_limits
        given: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in self}
        return Source(
            **given
            | {
                "name": self.name or name,
                "rules": self.rules.to_rules(),
                "politeness": Politeness(self.politeness.delay, self.politeness.concurrency),
                "expect": self.expect.model_dump(exclude_none=True),
                "spider_limits": SpiderLimits(limits.time.total_seconds(), limits.memory_mb, limits.pages),
                "render": Render(self.render),
                "revisit": Source(name).revisit if self.revisit is None else tuple(sorted(set(self.revisit))),
            }
        )


def to_table(source: Source) -> dict[str, Any]:
    """The source as a table of sources.toml, with every key that has a value; `parse_source` gives the source back."""
    hidden = {"name"} if source.spider else {"name", "spider_args", "spider_limits"}
    values = ((key.name, _to_toml(getattr(source, key.name))) for key in fields(source) if key.name not in hidden)
    return {name: value for name, value in values if value is not None}


def _to_toml(value: Any) -> Any:
    match value:
        case timedelta():
            return format_duration(value)
        case Render():
            return value.value
        case tuple():
            return [_to_toml(item) for item in value]
        case Mapping():
            return dict(value)
        case SpiderLimits():
            return {"time": format_duration(timedelta(seconds=value.seconds)), "memory_mb": value.memory_mb, "pages": value.pages}
        case Rules() | Politeness():
            items = ((key.name, _to_toml(getattr(value, key.name))) for key in fields(value))
            return {name: item for name, item in items if item is not None}
    return value


SUBTABLES: Mapping[str, type[BaseModel]] = {
    "rules": RulesTable,
    "rules.fields": FieldsTable,
    "politeness": PolitenessTable,
    "expect": ExpectTable,
    "spider_limits": SpiderLimitsTable,
}


def parse_source(name: str, table: object, location: str) -> Source:
    """The source that the parsed table `name` describes.

    Raises ConfigError with `location` (file and table), key and expected value.
    """
    if not NAME.fullmatch(name):
        allowed = Sentence("a name of letters, digits and . : _ - (at most 100, no dot first)")
        raise ConfigError(keyed(location, Sentence("expected {what}", what=allowed)))
    if not isinstance(table, dict):
        wanted = Sentence('a table, such as [sources.{name}] with homepage = "https://…" below it', name=name)
        raise ConfigError(keyed(location, Sentence("expected {what}", what=wanted)))
    try:
        return SourceTable.model_validate(table).to_source(name)
    except ValidationError as error:
        raise ConfigError(keyed(location, _describe_error(error))) from None


def _describe_error(error: ValidationError) -> str:
    """`key: expected …, not …` for the first error in a table."""
    first = error.errors()[0]
    keys = [str(part) for part in first["loc"] if isinstance(part, str) and not part.startswith("function-")]
    if not keys:  # the table as a whole
        return Sentence("expected {what}", what=first["ctx"]["error"])
    model = next((SUBTABLES[name] for at in range(len(keys) - 1, 0, -1) if (name := ".".join(keys[:at])) in SUBTABLES), SourceTable)
    key = ".".join(keys)
    if first["type"] == "extra_forbidden":
        return keyed(key, _describe_unknown_key(keys[-1], list(model.model_fields)))
    if first["msg"].endswith(NO_CREDENTIALS):
        return keyed(key, Sentence("expected {what}", what=NO_CREDENTIALS))
    field = next(key for key in reversed(keys) if key in model.model_fields)
    what = Sentence(model.model_fields[field].description or "")
    if field == "spider_args":  # the value may be a password
        return keyed(key, Sentence("expected {what}", what=what))
    return keyed(key, Sentence("expected {what}, not {value}", what=what, value=repr(redact(str(first["input"]))[:80])))


def _describe_unknown_key(word: str, known: Iterable[str]) -> Sentence:
    names = sorted(known)
    if near := _find_near(word, names):
        return Sentence("unknown key; did you mean {name}?", name=near)
    return Sentence("unknown key; expected one of {names}", names=", ".join(names))


def format_suggestion(word: str, known: Iterable[str]) -> str:
    """The end of an error message: the known name most similar to `word`, or all names."""
    names = sorted(known)
    near = _find_near(word, names)
    return f"; did you mean {near}?" if near else f"; expected one of {', '.join(names)}"


def _find_near(word: str, names: Sequence[str]) -> str | None:
    return next(iter(difflib.get_close_matches(word, names, n=1)), None)
