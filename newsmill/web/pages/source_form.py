"""The settings of a source as the text fields of a form."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from starlette.datastructures import FormData

from newsmill.exceptions import ConfigError
from newsmill.model import Render, Rules, Source
from newsmill.network import submitted_urls
from newsmill.network.address_guard import Guard
from newsmill.site_inspection.processes import add_scheme
from newsmill.sources.table import to_table
from newsmill.sources.table_values import format_duration
from newsmill.text.sentences import Sentence, keyed
from newsmill.web.pages.translations import Translations

LINE_FIELDS = ("feeds", "sitemaps", "sections", "allow", "deny")
TEXT_FIELDS = ("homepage", "every", "cron", "freshness", "language", "render")
RULE_LINE_FIELDS = ("drop_css", "drop_lines", "drop_xpath", "keep_css", "keep_xpath")
MAX_FIELD_CHARACTERS = 20_000


def plan_values(source: Source) -> dict[str, str]:
    """The fields of the settings form."""
    return {
        "homepage": source.homepage or "",
        "every": "" if source.every is None else format_duration(source.every),
        "cron": source.cron or "",
        "freshness": "" if source.freshness is None else format_duration(source.freshness),
        "language": source.language or "",
        "delay": f"{source.politeness.delay:g}",
        "render": source.render.value,
        **{name: "\n".join(getattr(source, name)) for name in LINE_FIELDS},
    }


def rules_values(rules: Rules) -> dict[str, str]:
    """The fields of the rules form."""
    return {
        **{name: "\n".join(getattr(rules, name)) for name in RULE_LINE_FIELDS},
        "fields": "\n".join(f"{name} = {selector}" for name, selector in rules.fields.items()),
        "expires": rules.expires.isoformat() if rules.expires else "",
    }


def read_form(form: FormData) -> dict[str, str]:
    """The text fields of a submitted form."""
    return {name: value[:MAX_FIELD_CHARACTERS] for name, value in form.items() if isinstance(value, str) and name not in ("csrf", "do")}


def plan_table(before: Source, values: Mapping[str, str]) -> dict[str, Any]:
    """The source as a table of sources.toml, changed by the form; other keys keep their values. Raises ConfigError."""
    changed: dict[str, Any] = {name: split_lines(values.get(name, "\n".join(getattr(before, name)))) for name in LINE_FIELDS}
    for name in TEXT_FIELDS:
        if value := values.get(name, "").strip():
            changed[name] = add_scheme(value) if name == "homepage" else value
    shown = {*LINE_FIELDS, *TEXT_FIELDS, "politeness"}
    unchanged = {name: value for name, value in to_table(before).items() if name not in shown}
    unchanged["politeness"] = {"delay": _parse_number(values.get("delay", "")), "concurrency": before.politeness.concurrency}
    return {name: value for name, value in changed.items() if value} | unchanged


def rules_table(values: Mapping[str, str]) -> dict[str, Any]:
    """The table `rules` of sources.toml, from the form. Raises ConfigError."""
    table: dict[str, Any] = {name: split_lines(values.get(name, "")) for name in RULE_LINE_FIELDS}
    table["fields"] = {}
    for line in split_lines(values.get("fields", "")):
        name, equals, selector = line.partition("=")
        if not equals:
            raise _refuse("rules.fields", Sentence("lines such as title = h1.headline"), line)
        table["fields"][name.strip()] = selector.strip()
    if value := values.get("expires", "").strip():
        table["expires"] = _parse_date(value)
    return table


def plan_table_with_rules(source: Source, values: Mapping[str, str]) -> dict[str, Any]:
    """The source as a table of sources.toml, with the rules of the form. Raises ConfigError."""
    return plan_table(source, plan_values(source)) | {"rules": rules_table(values)}


def check_urls(source: Source, allow_nets: tuple[str, ...]) -> None:
    """Raises ConfigError for a source with a URL that Newsmill never fetches. The crawler checks each connection again."""
    if reason := submitted_urls.source_refusal_reason(source, Guard.from_networks(allow_nets)):
        raise ConfigError(reason)


def describe_plan(source: Source, words: Translations) -> list[tuple[str, list[str]]]:
    """The settings for display: (field, values) for each field that has a value."""
    every = [words("plan.every", span=words.span(source.every.total_seconds()))] if source.every else []
    every += [words("plan.adaptive")] if source.is_adaptive else []
    rows: dict[str, list[str]] = {
        "homepage": [source.homepage] if source.homepage else [],
        "every": every,
        "cron": [f"{source.cron} (UTC)"] if source.cron else [],
        "freshness": [words.span(source.freshness.total_seconds())] if source.freshness else [],
        "language": [source.language] if source.language else [],
        "delay": [
            words(
                "plan.delay",
                n=f"{source.politeness.delay:g}".replace(".", words.texts["format.point"]),
                concurrency=source.politeness.concurrency,
            )
        ],
        **{name: list(getattr(source, name)) for name in LINE_FIELDS},
        "render": [] if source.render is Render.NEVER else [words(f"plan.render.{source.render}")],
        "discover": [] if source.spider and not source.homepage else [words(f"plan.discover.{'on' if source.discover else 'off'}")],
        "robots": [] if source.robots else [words("plan.robots.off")],
        "spider": [source.spider] if source.spider else [],
        "expect": [words("plan.expect", documents=words.n("documents", n)) for n in source.expect.values()],
    }
    return [(name, values) for name, values in rows.items() if values]


def split_lines(text: str) -> list[str]:
    """The lines that are not blank."""
    return [line.strip() for line in text.splitlines() if line.strip()]


def _parse_number(value: str) -> float:
    try:
        return float(value.strip().replace(",", ".") or 1)
    except ValueError:
        raise _refuse("politeness.delay", Sentence("a number of seconds from 0 to 3600"), value) from None


def _parse_date(value: str) -> date:
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise _refuse("rules.expires", Sentence("a date such as 2027-06-30"), value) from None


def _refuse(key: str, what: Sentence, value: str) -> ConfigError:
    return ConfigError(keyed("form", keyed(key, Sentence("expected {what}, not {value}", what=what, value=repr(value[:80])))))
