"""`newsmill demo` once, with real processes and HTTP; then every command that reads its store."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx2 as httpx
import pytest
from api_examples import examples, form, has_content, request
from command_result import Newsmill
from site_of_tests import open_door, served
from sqlalchemy import update

from newsmill import demo as newspaper
from newsmill.context import open_context
from newsmill.settings import Settings, load
from newsmill.storage.database import writing
from newsmill.storage.schema import ledger
from newsmill.web.config import WebConfig

DOCS = Path(__file__).resolve().parents[2] / "docs"
GUIDES = DOCS / "guides"
PORT = "http://127.0.0.1:8531"  # of the newspaper in the documentation
EMPTY_LISTS = (
    "/near-duplicates",
    "/revisions",
    "/stories",
    "/schedule",
    "/quarantine",
)  # the documentation says so of the demo; no source is polled
SHELL_SYNTAX = re.compile(r"[|<>]|^\w+=")
SEED = "/de/politik/nato-russland-rat-gespraeche-ukraine-10431"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str, str]]:
    """A data folder after `newsmill demo`, the URL of the newspaper, and the output."""
    folder = tmp_path_factory.mktemp("demo")
    ours = {str(field.alias) for field in Settings.model_fields.values()}
    environ = {name: value for name, value in os.environ.items() if name not in ours}
    with tempfile.TemporaryDirectory(prefix="nm-", dir="/tmp") as temporary:  # short: it holds a socket
        done = subprocess.run(
            [sys.executable, "-m", "newsmill.cli.main", "demo", "--port", "0"],
            cwd=folder,
            env=environ | {"TMPDIR": temporary},
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert [*Path(temporary).iterdir()] == [], "temporary files stay behind"
    assert done.returncode == 0, done.stderr + "".join(log.read_text() for log in (folder / "newsmill-data" / "logs").glob("*.log"))
    yield folder, done.stdout.split("newspaper at ")[1].split("/,")[0], done.stdout
    assert not (folder / "newsmill-data" / "redis" / "redis.sock").exists(), "the embedded Redis must stop with its last user"


@pytest.fixture(autouse=True)
def inside(site: tuple[Path, str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(site[0])


@pytest.fixture
def copied(site: tuple[Path, str, str], tmp_path: Path) -> Path:
    """A copy of the data folder for tests that queue pages, because others count them."""
    return Path(shutil.copytree(site[0] / "newsmill-data", tmp_path / "copied", ignore=shutil.ignore_patterns("redis")))


@pytest.fixture
def seed(site: tuple[Path, str, str]) -> str:
    return site[1] + SEED


def test_the_demo_tells_in_three_lines_what_came_in_what_was_removed_and_what_is_next(site: tuple[Path, str, str]) -> None:
    came, removed, following = site[2].splitlines()
    assert came.startswith(f"Came in:  17 new articles in 5 languages, from a sample newspaper at {site[1]}/, in ")
    assert removed == (
        "Removed:  “source site-40” and 38 other blocks around “Russland und die NATO treffen sich zu Gesprächen über die Ukraine-Krise”"
    )
    assert following.startswith("Next:     ") and all(f"newsmill {command}" in following for command in ("web", "search", "explain http"))


def test_status(newsmill: Newsmill) -> None:
    report = newsmill("status", "--json").json
    assert report["documents"] == report["outcomes"]["stored"] >= 12
    assert report["pending"] == 0
    assert report["queue"] is None
    assert report["archive_bytes"] > 10_000
    assert report["sources"]["demo"]["enabled"] is False  # its server is gone
    shown, details = newsmill("status").out, newsmill("status", "--verbose").out
    assert "running: no process" in shown
    internals = ("fast path", "in no listing (95 %)")
    assert [text in shown for text in internals] == [False, False], "internals are behind --verbose"
    assert [text in details for text in internals] == [True, True]


def test_the_examples_of_the_guide_find_documents(newsmill: Newsmill, tmp_path: Path) -> None:
    guide = (GUIDES / "search-and-export.md").read_text(encoding="utf-8")
    guide = re.sub(r"^## Mark documents\n.*?(?=^## )", "", guide, flags=re.DOTALL | re.MULTILINE)  # it finds what the reader has marked
    commands = [shlex.split(line) for line in guide.splitlines() if line.startswith(("newsmill search ", "newsmill export train"))]
    assert len(commands) >= 5
    for _, *words in commands:
        if words[0] == "export":
            words[-1] = str(tmp_path / words[-1])
        done = newsmill(*words)
        assert done.code == 0, (words, done.err)
    assert (tmp_path / "train.jsonl").read_text().count("\n") == 1


def test_show_by_url_and_by_id(newsmill: Newsmill, seed: str) -> None:
    shown = newsmill("show", seed, "--json").json
    assert shown["title"] == "Russland und die NATO treffen sich zu Gesprächen über die Ukraine-Krise"
    assert "source site-" not in shown["text"]
    assert newsmill("show", shown["id"], "--json").json == shown
    text = newsmill("show", seed).out
    assert text.startswith(shown["title"])
    day = newsmill("show", seed.replace(SEED, "/de/region/eier-und-kaese-aus-dem-automaten-10411")).out
    assert re.search(r"(?m)^published_at +2026-11-12   ", day), "a page that states a day has no midnight"
    assert shown["text"] in text


def test_search(newsmill: Newsmill, seed: str) -> None:
    assert seed in newsmill("search", "NATO", "Gruschko").out
    assert newsmill("search", "NATO", "Gruschko", "--limit", "1", "--json").lines[0]["url"] == seed
    assert "score " in newsmill("search", "NATO", "--explain").out and "score " not in newsmill("search", "NATO").out
    assert "Gespräch" in newsmill("search", "gesprache NATO lang:de").out  # the snippet
    assert newsmill("search", "-n", "1", "--newest").out and seed in newsmill("search", "NATO source:demo -lang:en").out
    assert newsmill("search", "NATO source:demo").err.startswith("1 of 1 document")
    facets = newsmill("search", "NATO", "lang:de", "--facets", "--json").lines
    assert {"facet": "language", "value": "de", "n": 1, "filter": "lang:de", "is_exact": True} in facets
    assert "source:demo" in newsmill("search", "NATO", "--facets").out
    assert [newsmill("search", "no-such-word-anywhere", counts).code for counts in ("--facets", "--timeline")] == [1, 1]
    assert len(newsmill("search", "NATO", "source:demo", "--timeline", "--json").lines) == 1, "the day of the only match"
    bars = newsmill("search", "NATO", "source:demo", "after:2000-01-01", "--timeline", "--json").lines
    assert sum(bar["n"] for bar in bars) == 1 and len(bars) == 27, "years"
    nothing = newsmill("search", "no-such-word-anywhere")
    assert (nothing.code, nothing.out) == (1, "") and "No document matches" in nothing.err
    for query, remedies in {
        "author:smiht": [],
        "is_free:maybe": [],
        "zzzz": [],
        "zzzz OR yyyy": [],
        "zzzz lang:de": ["remove a filter"],
        "after:2026-11-30 lang:de": ["remove a filter"],
        "zzzz yyyy": ["use fewer words, or OR between them"],
    }.items():
        last = newsmill("search", query).err.splitlines()[-1]
        assert last == "; ".join([f"No document matches {query}", *remedies, "`newsmill search --help` lists the filters"])
    assert "after:noon is not a date; write after:2026-01-31" in newsmill("search", "NATO after:noon").err
    assert "Source dem does not exist; write source:demo" in newsmill("search", "source:dem").err
    assert "did you mean treffen" in newsmill("search", "trefffen").err
    wrong = newsmill("export", "is_free:maybe")
    assert (wrong.code, wrong.out) == (0, "") and "is_free:maybe has no meaning" in wrong.err


def test_trace_shows_every_step(newsmill: Newsmill, seed: str) -> None:
    trace = newsmill("trace", seed, "--json").json
    assert (trace["state"], trace["outcome"], trace["status"], trace["source"]) == ("done", "stored", 200, "demo")
    with open_context(load()) as store, writing(store.engine) as conn:  # the article is older each day, and then nothing is planned
        conn.execute(update(ledger).where(ledger.c.url == seed).values(revisit_at=datetime(2100, 1, 1, tzinfo=UTC)))
    lines = newsmill("trace", seed + "?utm_source=x").out.splitlines()
    assert [line.split("  ")[1].split()[0] for line in lines[:-1]] == ["page", "fetched:", "archived:", "done:"]
    assert lines[-1].startswith("next: a crawler fetches it again at 2100-01-01"), "the future is not a step of the past"


def test_explain_extracts_the_archived_page_again(newsmill: Newsmill, seed: str) -> None:
    reading = newsmill("explain", seed, "--json").json
    assert reading["ending"]["outcome"] == "stored"
    assert reading["document"]["text"] == newsmill("show", seed, "--json").json["text"]
    removed = [block for block in reading["blocks"] if not block["kept"]]
    assert any("source site-" in block["text"] and block["layer"] and block["reason"] for block in removed)
    text = newsmill("explain", seed).out
    assert "+ [paragraph] Das Treffen des NATO-Russland-Rates" in text
    assert "- [paragraph] " in text


def test_export_to_a_file_and_to_a_pipe(newsmill: Newsmill, tmp_path: Path) -> None:
    documents = newsmill("export").lines
    assert len({document["id"] for document in documents}) == len(documents) >= 12
    assert {"id", "url", "text", "blocks", "authors", "published_at", "language", "archive_ref", "provenance"} <= set(documents[0])
    assert newsmill("export", "--format", "jsonl", "-o", str(tmp_path / "out.jsonl")).code == 0
    assert len((tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()) == len(documents)
    assert list(tmp_path.iterdir()) == [tmp_path / "out.jsonl"]
    assert newsmill("export", "--since", "2099-01-01").out == "" and newsmill("export", "--since", "24h").out.count("\n") > 10
    assert newsmill("export", "--source", "dem").err == "newsmill: source 'dem' does not exist; did you mean demo?\n"
    assert newsmill("export", "--format", "xml").code == 2
    assert newsmill("export", "-o", str(tmp_path / "no" / "out.jsonl")).code == 2


def test_every_format_of_real_documents(newsmill: Newsmill, tmp_path: Path) -> None:
    from warcio.archiveiterator import ArchiveIterator

    count = len(newsmill("export").lines)
    for name in ("jsonl", "csv", "parquet", "jsonld", "text", "warc"):
        done = newsmill("export", "--format", name, "--to", str(tmp_path / name))
        assert (done.code, done.err) == (0, f"{count} documents written to {tmp_path / name}\n")
    with (tmp_path / "warc" / "data" / "part-00001.warc.gz").open("rb") as file:
        kinds = [record.rec_type for record in ArchiveIterator(file, check_digests="raise")]
    assert kinds.count("response") == count


def test_extract_gives_the_same_text(newsmill: Newsmill, seed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    page = newspaper.newspaper_folder() / "site" / f"{SEED.lstrip('/')}.html"
    line = f'{{"id": 7, "url": "{seed}", "path": "{page}"}}\n'.encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(line)))
    (record,) = newsmill("extract").lines
    assert (record["id"], record["outcome"]) == (7, "stored")
    assert record["text"] == newsmill("show", seed, "--json").json["text"]
    assert record["seconds"] > 0


def test_pages_without_an_article_have_outcomes(newsmill: Newsmill, site: tuple[Path, str, str]) -> None:
    counted = newsmill("status", "--json").json["outcomes"]
    assert counted["duplicate"] >= 1
    assert counted["gone"] >= 1


def test_sources(newsmill: Newsmill) -> None:
    (listed,) = newsmill("sources", "list", "--json").json
    assert listed["source"]["name"] == "demo"
    assert "paused" in newsmill("sources", "list").out
    assert newsmill("sources", "resume", "demo").code == 0
    assert newsmill("sources", "list", "--json").json[0]["source"]["enabled"] is True
    assert newsmill("sources", "pause", "demo").code == 0
    check = newsmill("sources", "check", "demo", "--json")
    assert (check.code, check.json["alarms"]) == (0, [])
    assert {row["kind"] for row in check.json["listings"]["demo"]} >= {"homepage", "feed", "sitemap"}
    assert newsmill("sources", "pause", "nobody").code == 2


def test_preview_of_changed_rules(newsmill: Newsmill, seed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEWSMILL_CONFIG", str(tmp_path))
    assert "config/sources.toml does not exist" in newsmill("sources", "preview", "demo").err
    file = tmp_path / "sources.toml"
    table = '[sources.demo]\nhomepage = "http://127.0.0.1/"\n'
    file.write_text(table)
    done = newsmill("sources", "preview", "demo", "-n", "5")
    assert "demo: 0 of 5 pages changed" in done.err and done.out == ""
    before = newsmill("show", seed, "--json").json
    file.write_text(table + 'rules.drop_lines = ["Das Treffen des NATO.*"]\nrules.fields.title = "p"\n')
    changes = {change["url"]: change for change in newsmill("sources", "preview", "demo", "--json").json}
    assert any(line.startswith("-Das Treffen des NATO") for line in changes[seed]["diff"])
    assert changes[seed]["fields"]["title"][0] == before["title"]
    assert changes[seed]["removed"] > 10 and changes[seed]["after"] == "stored"
    shown = newsmill("sources", "preview", "demo")
    assert f"{seed}\n  title: " in shown.out and "removed" in shown.err
    assert newsmill("show", seed, "--json").json == before
    file.write_text(table.replace("demo", "other"))
    assert "has no source 'demo'" in newsmill("sources", "preview", "demo").err
    assert newsmill("sources", "preview", "nobody").code == 2


def test_retry_requeues_finished_urls(newsmill: Newsmill, copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEWSMILL_DATA", str(copied))
    assert newsmill("retry", "--outcome", "stred").err == "newsmill: Unknown outcome 'stred'; did you mean stored?\n"
    assert "has not seen https://nowhere.example/" in newsmill("retry", "https://nowhere.example/").err
    assert newsmill("retry", "nowhere").err == "newsmill: not a URL: 'nowhere'\n"
    assert "source 'nope' does not exist" in newsmill("retry", "--outcome", "gone", "--source", "nope").err
    assert newsmill("retry", "--outcome", "gone").code == 0
    assert newsmill("status", "--json").json["pending"] >= 1


def test_quarantine_is_empty(newsmill: Newsmill) -> None:
    assert newsmill("quarantine", "list", "--json").json == []
    for do in ("retry", "drop"):
        done = newsmill("quarantine", do, "https://nowhere.example/")
        assert (done.code, "Newsmill has not seen https://nowhere.example/" in done.err) == (1, True)
        assert newsmill("quarantine", do, "nowhere").err == "newsmill: not a URL: 'nowhere'\n"
    assert newsmill("quarantine", "retry").err == "no page is in quarantine\n"


def test_only_quarantined_pages_leave_the_quarantine(newsmill: Newsmill, seed: str) -> None:
    before = newsmill("trace", seed, "--json").json
    for do, ending in (("retry", "requeued"), ("drop", "dropped")):
        done = newsmill("quarantine", do, seed)
        assert (done.code, done.err) == (1, f"no quarantined page matches; nothing is {ending}\n")
    assert newsmill("trace", seed, "--json").json == before


def test_unknown_names_give_one_sentence(newsmill: Newsmill) -> None:
    assert newsmill("show", "0" * 32).err.startswith("newsmill: No document has the URL or id 0000")
    assert newsmill("trace", "https://nowhere.example/").err.startswith("newsmill: Newsmill has not seen https://nowhere.example/")
    assert newsmill("trace", "ftp://x").code == 2
    assert newsmill("health", "worker").err == "newsmill: no live worker on this machine\n"
    assert newsmill("health", "wroker").code == 2


def test_the_schema(newsmill: Newsmill) -> None:
    assert newsmill("db", "check").code == 0
    assert newsmill("db", "upgrade").code == 0


def test_the_schedule_says_when_each_listing_is_polled_and_why(newsmill: Newsmill) -> None:
    listings = newsmill("sources", "schedule", "demo", "--json").json["listings"]
    assert listings and all(one["kind"] != "page" and one["polled_at"] for one in listings)
    shown = newsmill("sources", "schedule", "demo")
    assert shown.code == 0 and "adaptive" in shown.err and "articles a day" in shown.err
    assert newsmill("sources", "schedule", "nothing").code == 2


@pytest.mark.parametrize(
    ("guide", "chapter", "replaced"),
    [
        ("quick-start.md", "Look at the documents", {}),
        ("following-sites.md", "Submit single URLs", {"some-program": "cat urls.txt"}),
        ("operating.md", "Back up the embedded store", {"/backups/newsmill": "copy"}),
        ("search-and-export.md", "Read one document", {"URL": "SITE/en/2026/11/24/flood-wall-work-to-begin-in-february"}),
        ("search-and-export.md", "Export", {}),
    ],
)
def test_commands_of_a_guide(
    newsmill: Newsmill,
    site: tuple[Path, str, str],
    copied: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    guide: str,
    chapter: str,
    replaced: dict[str, str],
) -> None:
    """Each command of the chapter succeeds; `replaced` puts in words, URLs and folders that this corpus has. Bash runs shell syntax."""
    monkeypatch.setenv("NEWSMILL_DATA", str(copied))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "urls.txt").write_text(f"{site[1]}/another-story.html\n", encoding="utf-8")
    (tmp_path / "newsmill-data").mkdir()  # which the restore moves away
    text = (GUIDES / guide).read_text(encoding="utf-8")
    (blocks,) = re.findall(rf"^##+ {chapter}\n(.*?)(?=^##|\Z)", text, re.DOTALL | re.MULTILINE)
    commands = [line for block in re.findall(r"^```sh\n(.*?)^```$", blocks, re.DOTALL | re.MULTILINE) for line in block.splitlines()]
    assert commands
    for command in commands:
        for old, new in {**replaced, "https://www.example.org": "SITE", "SITE": site[1]}.items():
            command = command.replace(old, new)
        if SHELL_SYNTAX.search(command) or not command.startswith("newsmill "):
            done = subprocess.run(["bash", "-e", "-o", "pipefail", "-c", command], capture_output=True, text=True, timeout=240)
            assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        else:
            result = newsmill(*shlex.split(command)[1:])
            assert result.code == 0, f"{command}\n{result.out}{result.err}"


@pytest.fixture
def data_folder(site: tuple[Path, str, str], tmp_path: Path) -> Path:
    """A copy of the data folder, which a test may change."""
    return Path(shutil.copytree(site[0] / "newsmill-data", tmp_path / "newsmill-data"))


def test_the_examples_of_the_python_api(data_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(data_folder.parent)
    text = (DOCS / "reference" / "python-api.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    assert len(blocks) >= 6
    names: dict[str, object] = {}
    for block in blocks:
        exec(block, names)
        printed = capsys.readouterr().out
        assert printed.strip(), f"this example prints nothing:\n{block}"
        assert not re.search(r"^(\[\]|None)$|^Series\(\[\]", printed, re.MULTILINE), f"{block}\n{printed}"


def test_the_examples_of_the_http_api(site: tuple[Path, str, str], data_folder: Path) -> None:
    """Each succeeds, shows something, and answers in the documented form."""
    app = open_door(data_folder, WebConfig())
    names = {"TOKEN": app.program("admin").headers["authorization"].removeprefix("Bearer ")}
    run = 0
    with served(app) as names["NM"], httpx.Client(timeout=60) as client:
        for command, shown in examples():
            variable = re.fullmatch(r"(\w+)=\$\((.*) \| (python3 .*)\)", command)
            response = client.send(request((variable[2] if variable else command).replace(PORT, site[1]), names), stream=True)
            if "/stream" in command:
                assert any(line.startswith("event: document") for line in response.iter_lines())
                response.close()
                continue
            response.read()
            assert response.status_code in (200, 201, 202), f"{command}\n{response.status_code} {response.text}"
            is_empty = any(path in command for path in EMPTY_LISTS)
            if shown is not None and not is_empty:
                assert form(response.json()) == form(shown), command
            if "json" not in response.headers["content-type"]:
                assert site[1] in response.text, f"{command} shows nothing"
            elif not is_empty and response.request.method == "GET":
                assert has_content(response.json()), f"{command} shows nothing"
            if variable:
                names[variable[1]] = subprocess.run(
                    ["bash", "-c", variable[3]], input=response.text, capture_output=True, text=True
                ).stdout.strip()
            run += 1
    app.close()
    assert run > 18
