"""`newsmill extract`: extracts documents from pages without a store: files, folders, WARC files, URLs, standard input.

JSON lines of the input have one line of output each, in the same order.

An input line:   {"id": any, "url": "https://…" or null, "path": "page.html" or "page.html.gz"}, or "html": "<html>…" instead of "path",
                 or "page" or "item": one of those of POST /api/v1/pages, as for a page of a WARC file.
                 Optional: "content_type" (default text/html), "language".
An output line:  every field of a document (null if unknown; "id" is that of the input line), "outcome", "detail" and "seconds".
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from newsmill.cli.completion import complete_from
from newsmill.exceptions import ConfigError

OUTPUT_FORMATS = ("json", "markdown", "text", "csv", "parquet")


def extract(
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FILE|URL|FOLDER|-]…", help="Pages; - or nothing reads standard input: HTML or JSON lines.", show_default=False
        ),
    ] = None,
    form: Annotated[
        str, typer.Option("--format", autocompletion=complete_from(OUTPUT_FORMATS), help=f"Output format: {', '.join(OUTPUT_FORMATS)}.")
    ] = "json",
    url: Annotated[str | None, typer.Option("--url", help="URL of the page, if the input is one FILE or HTML on standard input.")] = None,
    language: Annotated[str | None, typer.Option("--language", help="Default language (BCP 47), such as de.")] = None,
    processes: Annotated[
        int, typer.Option("--processes", "-p", min=1, max=256, help="Pages, or with parquet files, to extract in parallel.")
    ] = 1,
    learn: Annotated[bool, typer.Option("--learn", help="Learn a profile of each site from its pages first.")] = False,
    folder: Annotated[str | None, typer.Option("--output", "-o", metavar="FOLDER", help="With parquet: a folder or s3:// URL.")] = None,
    hosts: Annotated[list[str] | None, typer.Option("--host", help="With parquet: only this host and its subdomains; repeatable.")] = None,
    languages: Annotated[
        list[str] | None, typer.Option("--only-language", help="With parquet: only documents in this language; repeatable.")
    ] = None,
    statuses: Annotated[
        list[int] | None,
        typer.Option("--status", min=100, max=999, help="With parquet: only captures with this HTTP status; repeatable."),
    ] = None,
    urls: Annotated[
        Path | None, typer.Option("--urls", metavar="FILE", help="With parquet: only the URLs of a text file, one per line.")
    ] = None,
    since: Annotated[str | None, typer.Option("--since", help="With parquet: first day, month or year of capture.")] = None,
    until: Annotated[str | None, typer.Option("--until", help="With parquet: last day, month or year of capture.")] = None,
    site_profiles: Annotated[
        str | None, typer.Option("--profiles", metavar="FILE", help="With parquet: use the site profiles that --learn wrote.")
    ] = None,
) -> None:
    """Extract documents from pages: files, folders, WARC files, URLs, or HTML or JSON lines from standard input. Stores nothing.

    In a folder, reads .html, .htm, .xhtml and their .gz files. Fetches a URL if the site's robots.txt allows it.
    From a WARC or WACZ file, reads the HTML responses with status 200. If records are damaged, names them and exits with 1.
    JSON lines: {"id": 1, "url": "https://…" or null, "path": "page.html"} (.html or .html.gz), or "html" with the page instead of "path".
    Output: the fields of `newsmill export`, with outcome, detail and seconds, one JSON line per page, in the same order.
    Other formats write the documents, and report pages without a document on standard error. An invalid line gets the outcome bad_input.
    --learn extracts every page twice, and writes the first document after it has read the last page.
    --format parquet -o FOLDER reads WARC files, folders of them and URLs such as s3://…, and writes documents and all other outcomes.
    There, --learn writes the profiles to FOLDER/_profiles/profiles.jsonl.gz, which --profiles applies to other files.
    Run the same command again to resume after Ctrl-C or a kill; finished files are skipped.
    """
    if form not in OUTPUT_FORMATS:
        raise ConfigError(f"--format: expected {', '.join(OUTPUT_FORMATS)}, not {form!r}")
    filters = (hosts, languages, statuses, urls, since, until, site_profiles)
    if (form == "parquet") != (folder is not None) or (folder is None and any(filters)):
        raise ConfigError(
            "--format parquet needs -o FOLDER, and -o, --host, --only-language, --status, --urls, --since, --until and --profiles"
            " need --format parquet"
        )
    if folder is not None:
        if url is not None or (learn and site_profiles):
            raise ConfigError("--url: not with --format parquet" if url is not None else "give --learn or --profiles, not both")
        # pyarrow and multiprocessing cost 0.3 s of CPU, which a page need not spend
        from newsmill.batch.options import BatchOptions
        from newsmill.cli.capture_options import read_period, read_urls
        from newsmill.cli.extract_parquet import extract_to_parquet

        first, end = read_period(since, until)
        wanted = None if urls is None else frozenset(read_urls([], urls))
        if wanted is not None and not wanted:
            raise ConfigError(f"{urls} has no URL")
        options = BatchOptions(
            hosts=tuple(hosts or ()),
            statuses=tuple(statuses or ()),
            urls=wanted,
            languages=tuple(languages or ()),
            since=first,
            until=end,
            language=language,
            profiles=site_profiles,
        )
        extract_to_parquet(inputs or [], folder, options, processes=processes, learn=learn)
        return
    # the extraction of single pages costs 0.4 s of CPU in imports, which Parquet and the help need not spend
    from newsmill.cli.extract_pages import extract_pages

    extract_pages(inputs or [], url, language, form=form, processes=processes, learn=learn)
