"""What one table of sources.toml may say, and the sentence for each thing it may not. Reads no file: it gets the parsed tables."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Annotated
from urllib.parse import urlsplit

import cssselect
from lxml import etree
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from newsmill.discovery import schedule
from newsmill.exceptions import ConfigError, UrlError
from newsmill.model import Politeness, Rules, Source
from newsmill.redaction import redact

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
NAME = re.compile(r"[\w.:-]{1,100}", re.ASCII)  # printable in a table, a file name and a metric's label

NO_LOGIN = "an address without user and password: it would be stored and shown, and Newsmill sends none"


def parse_duration(value: object) -> timedelta:
    """`"15m"`, `"1h30m"`, `"2 d"` → timedelta. Raises ValueError for everything else, and for nothing or less."""
    if not isinstance(value, str) or not re.fullmatch(r"(\s*\d{1,6}\s*[smhd])+\s*", value):
        raise ValueError("no duration")
    seconds = sum(int(number) * UNITS[unit] for number, unit in re.findall(r"(\d+)\s*([smhd])", value))
    if not 1 <= seconds <= 366 * 86400:
        raise ValueError("out of range")
    return timedelta(seconds=seconds)


def format_duration(span: timedelta) -> str:
    """A duration as Newsmill writes it everywhere: a whole number of the largest unit that fits, such as "15m", "90m" or "2d"."""
    seconds = int(span.total_seconds())
    unit, length = next((unit, length) for unit, length in reversed(UNITS.items()) if seconds % length == 0)
    return f"{seconds // length}{unit}"


def _address(value: str) -> str:
    from newsmill import urls  # brings the public suffix list; only a file of sources pays for it

    try:
        urls.normalize(value)
    except UrlError as error:
        raise ValueError(str(error)) from None
    if "@" in urlsplit(value).netloc:
        raise ValueError(NO_LOGIN)
    return value


def _pattern(value: str) -> str:
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(str(error)) from None
    return value


def _url_pattern(value: str) -> str:
    import regex  # matches the patterns of URLs in the crawler, because it can be told to stop; only a file with patterns pays for it

    try:
        regex.compile(value)
    except regex.error as error:
        raise ValueError(str(error)) from None
    return value


def _selector(value: str) -> str:
    try:
        cssselect.HTMLTranslator().css_to_xpath(value)
    except cssselect.SelectorError as error:
        raise ValueError(str(error)) from None
    return value


def _path(value: str) -> str:
    try:
        etree.XPath(value)
    except etree.XPathError as error:
        raise ValueError(str(error)) from None
    return value


def _cron(value: str) -> str:
    schedule.compute_next_due(None, value, datetime(2026, 1, 1, tzinfo=UTC))
    return value


Address = Annotated[str, AfterValidator(_address)]
Pattern = Annotated[str, AfterValidator(_pattern)]
UrlPattern = Annotated[str, AfterValidator(_url_pattern)]
Selector = Annotated[str, AfterValidator(_selector)]
SELECTOR = "a CSS selector"
Path = Annotated[str, AfterValidator(_path)]
STRICT = ConfigDict(extra="forbid", strict=True)  # "yes" is no boolean and "5" no number: TOML can say what it means


class FieldsTable(BaseModel):
    """`rules.fields = { … }`: where this source's pages say what."""

    model_config = STRICT
    title: Selector | None = Field(default=None, description=SELECTOR)
    description: Selector | None = Field(default=None, description=SELECTOR)
    authors: Selector | None = Field(default=None, description=SELECTOR)
    published_at: Selector | None = Field(default=None, description=SELECTOR)
    modified_at: Selector | None = Field(default=None, description=SELECTOR)
    section: Selector | None = Field(default=None, description=SELECTOR)
    language: Selector | None = Field(default=None, description=SELECTOR)


class RulesTable(BaseModel):
    """`rules = { … }`: what to drop from this source's pages, what to keep of them, and where their fields stand."""

    model_config = STRICT
    drop_css: list[Selector] = Field(default=[], description="a list of CSS selectors")
    drop_xpath: list[Path] = Field(default=[], description="a list of XPath expressions")
    drop_lines: list[Pattern] = Field(default=[], description="a list of regular expressions, each matching a whole line")
    keep_css: list[Selector] = Field(default=[], description="a list of CSS selectors")
    keep_xpath: list[Path] = Field(default=[], description="a list of XPath expressions")
    fields: FieldsTable = Field(default=FieldsTable(), description="a table of field names, each with a CSS selector")
    expires: date | None = Field(default=None, description="a date such as 2027-06-30")

    def rules(self) -> Rules:
        """The noun this table describes."""
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
    """`politeness = { … }`: how gently the source's hosts are asked."""

    model_config = STRICT
    delay: float = Field(default=1.0, ge=0, le=3600, description="seconds between two requests to one host, 0 to 3600")
    concurrency: int = Field(default=1, ge=1, le=16, description="requests in flight to one host, 1 to 16")


class ExpectTable(BaseModel):
    """`expect = { … }`: what the source should yield."""

    model_config = STRICT
    documents_per_day: int | None = Field(default=None, ge=0, description="a whole number")


class SourceTable(BaseModel):
    """One `[sources.NAME]` table. A key's description is what a refusal prints after "expected"."""

    model_config = STRICT
    name: str | None = Field(default=None, pattern=f"^{NAME.pattern}$", description="letters, digits and . : _ - (at most 100)")
    homepage: Address | None = Field(default=None, description="an http(s) address")
    feeds: list[Address] = Field(default=[], description="a list of http(s) addresses")
    sitemaps: list[Address] = Field(default=[], description="a list of http(s) addresses")
    sections: list[Address] = Field(default=[], description="a list of http(s) addresses")
    language: str | None = Field(
        default=None, pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$", description='a language tag such as "de" or "pt-BR"'
    )
    every: Annotated[timedelta, BeforeValidator(parse_duration)] | None = Field(
        None, strict=False, description='a duration such as "15m", "2h" or "1d"'
    )
    cron: Annotated[str, AfterValidator(_cron)] | None = Field(default=None, description='five cron fields such as "*/10 6-22 * * *" (UTC)')
    allow: list[UrlPattern] = Field(default=[], description="a list of regular expressions")
    deny: list[UrlPattern] = Field(default=[], description="a list of regular expressions")
    rules: RulesTable = Field(
        default=RulesTable(), description="a table with drop_css, drop_xpath, drop_lines, keep_css, keep_xpath, fields and expires"
    )
    politeness: PolitenessTable = Field(default=PolitenessTable(), description="a table with delay and concurrency")
    expect: ExpectTable = Field(default=ExpectTable(), description="a table with documents_per_day")
    discover: bool = Field(default=True, description="true or false")
    enabled: bool = Field(default=True, description="true or false")

    @model_validator(mode="after")
    def _whole(self) -> SourceTable:
        if self.every and self.cron:
            raise ValueError("every or cron, not both")
        if not (self.homepage or self.feeds or self.sitemaps or self.sections):
            raise ValueError("at least one of homepage, feeds, sitemaps and sections")
        return self

    def source(self, name: str) -> Source:
        """The noun this table describes."""
        return Source(
            name=self.name or name,
            homepage=self.homepage,
            feeds=tuple(self.feeds),
            sitemaps=tuple(self.sitemaps),
            sections=tuple(self.sections),
            language=self.language,
            every=self.every or (None if self.cron else Source(name).every),
            cron=self.cron,
            allow=tuple(self.allow),
            deny=tuple(self.deny),
            rules=self.rules.rules(),
            politeness=Politeness(self.politeness.delay, self.politeness.concurrency),
            expect=self.expect.model_dump(exclude_none=True),
            discover=self.discover,
            enabled=self.enabled,
        )


SUBTABLES: Mapping[str, type[BaseModel]] = {
    "rules": RulesTable,
    "rules.fields": FieldsTable,
    "politeness": PolitenessTable,
    "expect": ExpectTable,
}


def parse_source(name: str, table: object, where: str) -> Source:
    """The source that the parsed table `name` describes. Raises ConfigError: `where` and one sentence that names key and expectation."""
    if not NAME.fullmatch(name):
        raise ConfigError(f"{where}: expected a name of letters, digits and . : _ - (at most 100)")
    if not isinstance(table, dict):
        raise ConfigError(f'{where}: expected a table, such as [sources.{name}] with homepage = "https://…" below it')
    try:
        return SourceTable.model_validate(table).source(name)
    except ValidationError as error:
        raise ConfigError(f"{where}: {_explain(error)}") from None


def _explain(error: ValidationError) -> str:
    """`key: expected …, not …` for the first thing that is wrong in a table."""
    first = error.errors()[0]
    keys = [str(part) for part in first["loc"] if isinstance(part, str) and not part.startswith("function-")]
    if not keys:  # the table as a whole
        return f"expected {first['msg'].removeprefix('Value error, ')}"
    model = next((SUBTABLES[name] for at in range(len(keys) - 1, 0, -1) if (name := ".".join(keys[:at])) in SUBTABLES), SourceTable)
    if first["type"] == "extra_forbidden":
        return f"{'.'.join(keys)}: no such key{format_suggestion(keys[-1], list(model.model_fields))}"
    if first["msg"].endswith(NO_LOGIN):
        return f"{'.'.join(keys)}: expected {NO_LOGIN}"
    found = redact(str(first["input"]))[:80]
    return f"{'.'.join(keys)}: expected {model.model_fields[keys[-1]].description}, not {found!r}"


def format_suggestion(word: str, known: Iterable[str]) -> str:
    """The end of a refusal: the known word that looks most like `word`, or all of them."""
    names = sorted(known)
    near = difflib.get_close_matches(word, names, n=1)
    return f"; did you mean {near[0]}?" if near else f"; known are {', '.join(names)}"
