"""`newsmill sources profile`: what was learned of a source's sites."""

from __future__ import annotations

from typing import Any

import typer

from newsmill import context
from newsmill import settings as configuration
from newsmill.cli.completion import SourceName
from newsmill.cli.terminal import Json, format_count, note, print_json, print_table, printable
from newsmill.context import AppContext
from newsmill.model import Profile
from newsmill.storage.fast_path_stats import FastPathCounts

MAX_LINES_SHOWN = 10  # per site; `--json` prints all
PROFILE_COLUMNS = ("site", "profile", "fast path", "checked", "disagreed")


def show_profiles(name: SourceName, as_json: Json = False) -> None:
    """Show the profiles of a source's sites: positions of fields, lines that are removed, use of the fast path."""
    with context.open_context(configuration.load()) as store:
        source = context.find_source(store, name)
        profiles = [
            profile for site in store.profiles.sites_of_sources([source.name]) if (profile := store.profiles.latest(site)) is not None
        ]
        if as_json:
            print_json([to_profile_record(store, profile) for profile in profiles])
        for record in [] if as_json else [to_profile_record(store, profile) for profile in profiles]:
            print_profile(record)
        if not profiles and not as_json:
            note(f"No site of {name} has a profile yet; a site gets one with its fifth document")


def to_profile_record(store: AppContext, profile: Profile) -> dict[str, Any]:
    """A profile as JSON: use of the fast path, field positions, and lines that are removed."""
    # these modules take 0.05 s of CPU, which `newsmill status` and `newsmill sources list` need not spend
    from newsmill.extraction.site_profile import apply_profile, field_positions, profile_trust

    counts = next((to_status_record(counts) for counts in store.fast_path_stats.newest_counts() if counts.site == profile.site), {})
    removed = sorted(apply_profile.find_removed_lines(profile), key=lambda key: -profile.lines[key].pages)
    return counts | {
        "pages": profile.pages,
        "fit": profile.fit,
        "reach": profile.reach,
        "agreement": profile.agreement,
        "proven": profile_trust.is_proven(profile),
        "fields": {
            name: [
                {
                    "path": path,
                    "pages": seen.pages,
                    "agreed": seen.agreed,
                    "proven": path == field_positions.find_field_position(profile, name),
                }
                for path, seen in positions.items()
            ]
            for name, positions in profile.fields.items()
        },
        "lines": {key: profile.lines[key].pages for key in removed},
    }


def to_status_record(counts: FastPathCounts) -> dict[str, Any]:
    """The use of a profile as JSON: pages by extraction path since the profile was learned."""
    pages = {f"{path.value}_pages": count for path, count in counts.pages.items()}
    return {"site": counts.site, "version": counts.version, "fast": counts.fast, "fast_share": counts.share, **pages}


def to_status_row(record: dict[str, Any]) -> list[object]:
    """One row of PROFILE_COLUMNS."""
    if record["fast_share"] is None:
        share = "not yet"
    else:
        share = f"{record['fast_share']:.0%} of pages" + ("" if record["fast"] else ", disabled after errors")
    checked = record["agreed_pages"] + record["disagreed_pages"]
    return [record["site"], record["version"], share, checked, record["disagreed_pages"]]


def print_profile(record: dict[str, Any]) -> None:
    """Print one profile as text and two tables."""
    path = "the fast path is in use" if record["proven"] else "every page gets full extraction"
    typer.echo(f"{record['site']}: profile {record['version']}, learned from {format_count(record['pages'], 'page')}; {path}")
    if record["agreement"] is not None:
        typer.echo(f"fast path: fits {record['reach']:.0%} of these pages; F1 against full extraction: {record['agreement']:.3f}")
    fields = [
        (name, f"{position['agreed']} of {position['pages']}", "yes" if position["proven"] else "no", printable(position["path"]))
        for name, positions in record["fields"].items()
        for position in positions[:1]
    ]
    if fields:
        print_table(("field", "agreed", "used", "position"), fields)
    lines = [(pages, printable(key.partition(" | ")[2])) for key, pages in list(record["lines"].items())[:MAX_LINES_SHOWN]]
    if lines:
        print_table(("pages", "removed line"), lines)
