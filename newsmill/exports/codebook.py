"""README.md of an exported folder: what the files hold, how they came about, what each field means, and a digest to cite."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from newsmill.exports.manifest import ExportPlan, Manifest
from newsmill.exports.records import FIELDS
from newsmill.model.document_fields import BY_NAME, Use, list_fields

CODEBOOK_NAME = "README.md"
MAX_LISTED_COUNTS = 20  # sites, sources or languages; manifest.json has all
PLAIN_FIELDS = ("jsonl", "csv", "xlsx", "parquet")  # formats with the fields of a document under their names
FIELDS_OF_FORMATS: Mapping[str, str] = {
    "jsonld": "Each line is a NewsArticle of https://schema.org/NewsArticle.",
    "text": "Each file is the text of one article; `index/` has its file, id, URL, title, date and checksum.",
    "markdown": "Each file is one article with its fields before the text; `index/` has its file, id, URL, title, date and checksum.",
    "warc": "The files hold the pages as they were fetched (WARC, ISO 28500).",
}
FIELD_TEXTS: Mapping[str, str] = {
    **{name: BY_NAME[name].meaning for name in FIELDS},
    "markdown": "the text as Markdown",
    "fingerprint": "numbers by which near duplicates of the text are found",
}


def render_codebook(manifest: Manifest) -> str:
    """The README of a complete export."""
    plan, summary, first, last = manifest.plan, manifest.summary, manifest.runs[0], manifest.runs[-1]
    query = " ".join(plan.query.split()) or "(every document)"
    lines = [
        "# Export of news articles",
        "",
        f"{manifest.documents:,} documents, written with Newsmill {last.newsmill}.",
        "",
        f"* Begun {first.started_at:%Y-%m-%d %H:%M} UTC, complete {last.ended_at:%Y-%m-%d %H:%M} UTC, runs: {len(manifest.runs)}.",
        f"* Format: {plan.format}" + (f", partitioned by {plan.partition}" if plan.partition else "") + ".",
        *([f"* Only documents stored since {plan.since:%Y-%m-%d %H:%M} UTC."] if plan.since else []),
        *([f"* Pages that could not be exported: {manifest.missing_count:,}."] if manifest.missing_count else []),
        f"* Digest of the files: `sha256:{compute_digest(manifest)}`.",
        "",
        "Query:",
        "",
        f"    {query}",
        "",
        "The digest is the SHA-256 of the lines `checksum  file` of `manifest.json`, sorted by file; the same files have the same digest.",
        "A document that changed during later runs is counted, and written, each time.",
        "Licences and laws decide what you may do with the texts.",
        "",
        *_render_counts("Sites", summary.sites),
        *_render_counts("Sources", summary.sources),
        *_render_counts("Languages", _join_variants(summary.languages)),
        "## Fields",
        "",
        *_render_fields(plan),
    ]
    return "\n".join(lines) + "\n"


def compute_digest(manifest: Manifest) -> str:
    """One checksum for all files."""
    listed = sorted((file.file, file.sha256) for file in manifest.files)
    return hashlib.sha256("".join(f"{digest}  {name}\n" for name, digest in listed).encode()).hexdigest()


def _join_variants(languages: Mapping[str, int]) -> dict[str, int]:
    """The counts of languages; the tags of a region or script count as their language and are named beside it.

    >>> _join_variants({"en": 2, "de": 4, "en-US": 3, "en-GB": 1, "pt-BR": 1})
    {'en (en-GB, en-US)': 6, 'de': 4, 'pt-BR': 1}
    """
    groups = dict[str, list[str]]()
    for tag in languages:
        groups.setdefault(tag.partition("-")[0], []).append(tag)
    counts = dict[str, int]()
    for language, tags in groups.items():
        variants = ", ".join(sorted({*tags} - {language}))
        counts[tags[0] if len(tags) == 1 else f"{language} ({variants})"] = sum(languages[tag] for tag in tags)
    return counts


def _render_counts(title: str, counts: Mapping[str, int]) -> list[str]:
    if not counts:
        return []
    most = sorted(counts.items(), key=lambda one: (-one[1], one[0]))[:MAX_LISTED_COUNTS]
    more = [f"| {len(counts) - len(most)} more in manifest.json | |"] if len(counts) > len(most) else []
    rows = [f"| {name.replace('|', '/')} | {number:,} |" for name, number in most]
    return [f"## {title}", "", "| name | documents |", "|---|---|", *rows, *more, ""]


def _render_fields(plan: ExportPlan) -> list[str]:
    if plan.names is not None:
        return [f"The fields have the names of {plan.names}."]
    if plan.format not in PLAIN_FIELDS:
        return [FIELDS_OF_FORMATS[plan.format]]
    left_out = {*({"markdown", "fingerprint"} - set(plan.include)), *(list_fields(Use.NO_CELL) if plan.format in ("csv", "xlsx") else ())}
    rows = [f"| `{name}` | {text} |" for name, text in FIELD_TEXTS.items() if name not in left_out]
    return ["A field that is not known is empty, never a guess.", "", "| field | content |", "|---|---|", *rows]
