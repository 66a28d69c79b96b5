"""A source's plan and rules between the nouns and a form's text fields: one value a line. Pure; what is allowed, newsmill.sources says."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from starlette.datastructures import FormData

from newsmill.address_guard import Guard
from newsmill.exceptions import ConfigError
from newsmill.model import Rules, Source
from newsmill.sources import format_duration
from newsmill.web import submitted_urls
from newsmill.web.pages.rendering import add_scheme
from newsmill.web.pages.translations import Translations

LINE_FIELDS = ("feeds", "sitemaps", "sections", "allow", "deny")
RULE_LINE_FIELDS = ("drop_css", "drop_lines", "drop_xpath", "keep_css", "keep_xpath")
MAX_FIELD_CHARACTERS = 20_000  # characters of one field


def plan_values(source: Source) -> dict[str, str]:
    """What the form for the plan is filled with."""
    return {
        "homepage": source.homepage or "",
        "every": "" if source.every is None else format_duration(source.every),
        "cron": source.cron or "",
        "language": source.language or "",
        "delay": f"{source.politeness.delay:g}",
        **{name: "\n".join(getattr(source, name)) for name in LINE_FIELDS},
    }


def rules_values(given: Rules) -> dict[str, str]:
    """What the form for the rules is filled with."""
    return {
        **{name: "\n".join(getattr(given, name)) for name in RULE_LINE_FIELDS},
        "fields": "\n".join(f"{name} = {selector}" for name, selector in given.fields.items()),
        "expires": given.expires.isoformat() if given.expires else "",
    }


def read_form(form: FormData) -> dict[str, str]:
    """The text fields of a form that was sent."""
    return {name: value[:MAX_FIELD_CHARACTERS] for name, value in form.items() if isinstance(value, str) and name not in ("csrf", "do")}


def plan_table(before: Source, values: Mapping[str, str]) -> dict[str, Any]:
    """The table of sources.toml that a changed source stands for; what the form does not show stays as it was. Raises ConfigError."""
    changed: dict[str, Any] = {name: split_lines(values.get(name, "\n".join(getattr(before, name)))) for name in LINE_FIELDS}
    for name in ("homepage", "every", "cron", "language"):
        if value := values.get(name, "").strip():
            changed[name] = add_scheme(value) if name == "homepage" else value
    kept = {
        "rules": rules_table(rules_values(before.rules)),
        "politeness": {"delay": _parse_number(values.get("delay", "")), "concurrency": before.politeness.concurrency},
        "expect": dict(before.expect),
        "discover": before.discover,
        "enabled": before.enabled,
    }
    return {name: value for name, value in changed.items() if value} | kept


def rules_table(values: Mapping[str, str]) -> dict[str, Any]:
    """The table `rules` of sources.toml that the form stands for. Raises ConfigError."""
    made: dict[str, Any] = {name: split_lines(values.get(name, "")) for name in RULE_LINE_FIELDS}
    made["fields"] = {}
    for line in split_lines(values.get("fields", "")):
        name, mark, selector = line.partition("=")
        if not mark:
            raise ConfigError(f"form: rules.fields: expected lines such as title = h1.headline, not {line[:80]!r}")
        made["fields"][name.strip()] = selector.strip()
    if value := values.get("expires", "").strip():
        made["expires"] = _parse_date(value)
    return made


def plan_table_with_rules(source: Source, values: Mapping[str, str]) -> dict[str, Any]:
    """The table of the source with other rules. Raises ConfigError."""
    return plan_table(source, plan_values(source)) | {"rules": rules_table(values)}


def check_urls(source: Source, allow_nets: tuple[str, ...]) -> None:
    """Raises ConfigError for a source with an address that is certainly not fetched; the connection is judged again later."""
    if said := submitted_urls.source_refusal_reason(source, Guard.from_networks(allow_nets)):
        raise ConfigError(said)


def describe_plan(source: Source, words: Translations) -> list[tuple[str, list[str]]]:
    """The plan for people: field and values, what is not set left out."""
    every = [words("plan.every", span=words.span(source.every.total_seconds()))] if source.every else []
    rows: dict[str, list[str]] = {
        "homepage": [source.homepage] if source.homepage else [],
        "every": every,
        "cron": [f"{source.cron} (UTC)"] if source.cron else [],
        "language": [source.language] if source.language else [],
        "delay": [words("plan.delay", n=f"{source.politeness.delay:g}", concurrency=source.politeness.concurrency)],
        **{name: list(getattr(source, name)) for name in LINE_FIELDS},
        "discover": [words(f"plan.discover.{'on' if source.discover else 'off'}")],
        "expect": [words("plan.expect", n=words.number(n)) for n in source.expect.values()],
    }
    return [(name, values) for name, values in rows.items() if values]


def split_lines(text: str) -> list[str]:
    """The lines that hold something."""
    return [line.strip() for line in text.splitlines() if line.strip()]


def _parse_number(value: str) -> float:
    try:
        return float(value.strip().replace(",", ".") or 1)
    except ValueError:
        raise ConfigError(
            f"form: politeness.delay: expected seconds between two requests to one host, 0 to 3600, not {value[:80]!r}"
        ) from None


def _parse_date(value: str) -> date:
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise ConfigError(f"form: rules.expires: expected a date such as 2027-06-30, not {value[:80]!r}") from None
