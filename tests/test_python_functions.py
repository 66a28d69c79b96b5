"""The public functions of the package: newsmill.extract, discover, submit and open."""

from __future__ import annotations

import ast
import copy
import importlib
import inspect
import multiprocessing
import pickle
import re
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import newsmill
from newsmill.exceptions import ConfigError, ExtractionError, ListingError, NewsmillError, UrlError
from newsmill.model import Kind, Outcome, SubmissionCounts
from newsmill.storage import database
from newsmill.storage.ledger import Ledger

DOCS = Path(__file__).resolve().parents[1] / "docs" / "reference" / "python-api.md"
PARAGRAPHS = (
    "The council decided on Tuesday evening to keep the ferry running through the winter, after a debate of three hours.",
    "Until now the last boat left in October, and whoever lived on the island took the long road over the northern bridge.",
    "A café on board is to pay for a part of the costs; its owner has already bought two tables and a stove from Norway.",
)
ARTICLE = f"""<html lang="en"><head><title>Caf\u00e9 on the ferry</title></head>

<body><nav><a href="/">Home</a></nav><article><h1>Caf\u00e9 on the ferry</h1>
{"".join(f"<p>{text}</p>" for text in PARAGRAPHS)}</article></body></html>"""
HOMEPAGE = """<html lang="de"><head><link rel="alternate" type="application/rss+xml" href="/feed.xml"></head><body>
<main><a href="/stadt/2026/01/02/die-faehre-bleibt-auch-im-winter-in-betrieb.html">Die Fähre bleibt auch im Winter in Betrieb</a></main>
<a href="https://elsewhere.example/2026/01/02/an-article-of-another-site.html">An article of another site</a></body></html>"""


@pytest.mark.parametrize(
    ("html", "content_type"),
    [
        (ARTICLE, None),
        (ARTICLE, "text/html; charset=ascii"),  # of no use for a str
        (ARTICLE.encode("windows-1252", "replace"), "text/html; charset=windows-1252"),
    ],
)
def test_extract_returns_the_document_of_a_page(html: str | bytes, content_type: str | None) -> None:
    document = newsmill.extract(html, url="https://paper.example/town/ferry.html", content_type=content_type)
    assert (document.title, document.language, document.url) == ("Café on the ferry", "en", "https://paper.example/town/ferry.html")
    assert document.text == "\n\n".join(PARAGRAPHS)


def read_title(html: str) -> str | None:
    return newsmill.extract(html, url="https://paper.example/ferry").title


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")  # Python 3.12 and newer, of fork
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_extract_works_in_pools(method: str) -> None:
    """A result or exception that cannot be unpickled would let a pool wait for ever."""
    with ProcessPoolExecutor(1, multiprocessing.get_context(method)) as pool:
        assert pool.submit(read_title, ARTICLE).result(60) == "Café on the ferry"
        with pytest.raises(ExtractionError, match="holds no document") as error:
            pool.submit(read_title, "<p>").result(60)
    assert error.value.outcome in set(Outcome) - {Outcome.STORED}


def find_exceptions() -> list[type[Exception]]:
    """The exceptions of newsmill.exceptions and all that derive from them, in whatever module: a function may raise any of these."""
    public = [value for value in vars(newsmill.exceptions).values() if isinstance(value, type) and issubclass(value, Exception)]
    names = "|".join(kind.__name__ for kind in public)
    for path in Path(newsmill.__file__).parent.rglob("*.py"):
        if re.search(rf"^class \w+\(.*\b({names})\b", path.read_text(encoding="utf-8"), re.MULTILINE):
            importlib.import_module(".".join(("newsmill", *path.relative_to(Path(newsmill.__file__).parent).with_suffix("").parts)))
    found = dict.fromkeys(public)
    for kind in public:
        found |= dict.fromkeys(list_subclasses(kind))
    return [*found]


def list_subclasses(kind: type[Exception]) -> list[type[Exception]]:
    return [one for child in kind.__subclasses__() for one in (child, *list_subclasses(child))]


def make_exception(kind: type[Exception]) -> Exception:
    if kind.__init__ in (Exception.__init__, ValueError.__init__):
        return kind("a sentence")
    values = {str: "a sentence", int: 429, float: 1.5}
    return kind(*(values[one.annotation] for one in inspect.signature(kind, eval_str=True).parameters.values()))


def test_exceptions_and_values_survive_pickle_and_copy() -> None:
    made = [make_exception(kind) for kind in find_exceptions()]
    assert {"RefusedToken", "ExtractionError", "DecodeError"} <= {type(error).__name__ for error in made}
    values = [*made, newsmill.extract(ARTICLE), newsmill.discover(HOMEPAGE, "https://paper.example/"), SubmissionCounts(1, 2, 3)]
    for value in values:
        for same in (pickle.loads(pickle.dumps(value)), copy.copy(value), copy.deepcopy(value)):
            assert type(same) is type(value) and str(same) == str(value)
            assert getattr(same, "__dict__", None) == getattr(value, "__dict__", None)


def test_extract_needs_no_url() -> None:
    assert newsmill.extract(ARTICLE).text == newsmill.extract(ARTICLE, url="https://paper.example/a.html").text


def test_extract_says_why_there_is_no_document() -> None:
    with pytest.raises(ExtractionError, match=r"^https://paper\.example/empty holds no document: ") as error:
        newsmill.extract("<html><body></body></html>", url="https://paper.example/empty")
    assert error.value.outcome in set(Outcome) - {Outcome.STORED}


@pytest.mark.parametrize("html", [HOMEPAGE, HOMEPAGE.encode()])
def test_discover_finds_feeds_and_articles(html: str | bytes) -> None:
    found = newsmill.discover(html, "https://paper.example/")
    assert [(link.url, link.kind) for link in found.listings] == [("https://paper.example/feed.xml", Kind.FEED)]
    assert [link.url for link in found.pages] == ["https://paper.example/stadt/2026/01/02/die-faehre-bleibt-auch-im-winter-in-betrieb.html"]
    assert found.language == "de"


def test_discover_refuses_what_is_neither_url_nor_page() -> None:
    with pytest.raises(UrlError):
        newsmill.discover(HOMEPAGE, "paper.example")
    with pytest.raises(ListingError):
        newsmill.discover(b"%PDF-1.7 and more", "https://paper.example/")
    with pytest.raises(NewsmillError):
        newsmill.discover(HOMEPAGE, "paper.example")
    for read in (newsmill.extract, lambda page: newsmill.discover(page, "https://paper.example/")):
        with pytest.raises(ConfigError, match="expected a page as str or bytes, not PosixPath"):
            read(DOCS)  # type: ignore[arg-type]


@pytest.mark.parametrize("texts", [{"url": None}, {"url": 5}, {"content_type": b"text/html"}, {"language": 5}])
def test_a_text_that_is_no_string_is_named(texts: dict[str, Any]) -> None:
    """Scrapy has headers as bytes, and pandas NaN for a missing URL."""
    with pytest.raises(ConfigError, match=f"{next(iter(texts))}= expects a string"):
        newsmill.extract("<p>text", **texts)
    if "language" not in texts:
        with pytest.raises(ConfigError, match="expects a string"):
            newsmill.discover("<p>text", **{"url": "https://www.example.org/", **texts})


def test_submit_queues_urls_in_a_data_folder(tmp_path: Path) -> None:
    given = ["https://paper.example/1", "https://paper.example/2", "https://paper.example/1", "no url"]
    assert newsmill.submit(iter(given), where=tmp_path / "data") == SubmissionCounts(new=2, known=0, bad_url=1)
    assert newsmill.submit(given[:2], where=tmp_path / "data") == SubmissionCounts(new=0, known=2, bad_url=0)
    engine = database.connect(f"sqlite:///{tmp_path / 'data' / 'newsmill.sqlite'}")
    outcomes = {trace.url: trace.outcome for trace in Ledger(engine).traces.list_all()}
    engine.dispose()
    assert outcomes == {"https://paper.example/1": None, "https://paper.example/2": None, "no url": Outcome.BAD_URL}
    with newsmill.open(tmp_path / "data") as corpus:
        assert list(corpus.documents()) == []


def test_submit_uses_the_store_of_the_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEWSMILL_DATA", str(tmp_path / "here"))
    monkeypatch.delenv("DATABASE_URL", raising=False)
    assert newsmill.submit(["https://paper.example/1"]).new == 1
    assert (tmp_path / "here" / "newsmill.sqlite").exists()


def test_submit_refuses_an_unknown_source_and_a_place_it_cannot_write_to(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="source= expects the name of a source, not int"):
        newsmill.submit([], source=5, where=tmp_path)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="source 'nobody' does not exist"):
        newsmill.submit(["https://paper.example/1"], source="nobody", where=tmp_path)
    with pytest.raises(ConfigError, match="cannot write to https://"):
        newsmill.submit(["https://paper.example/1"], where="https://news.example")
    with pytest.raises(ConfigError, match="expects URLs as strings, not float: nan"):  # a column of pandas
        newsmill.submit(["https://paper.example/1", float("nan")], where=tmp_path)  # type: ignore[list-item]


def test_the_package_names_its_public_functions_and_the_guide_shows_each() -> None:
    tree = ast.parse(Path(newsmill.__file__).read_text(encoding="utf-8"))
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")]
    names = {name for name in newsmill.__all__ if not isinstance(getattr(newsmill, name), type)}
    assert names == {"__version__", *(node.name for node in functions)}, "the others are types, and each can be imported"
    for node in functions:
        assert ast.get_docstring(node) and node.returns is not None, node.name
        assert f"newsmill.{node.name}(" in DOCS.read_text(encoding="utf-8"), f"the Python API page does not show newsmill.{node.name}"


def test_importing_the_package_loads_nothing_but_itself() -> None:
    code = "import sys; before = set(sys.modules); import newsmill; print(*sorted(set(sys.modules) - before - {'__future__', 'typing'}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert [name for name in done.stdout.split() if not name.startswith("_") and name.partition(".")[0] not in sys.stdlib_module_names] == [
        "newsmill",
        "newsmill.version",
    ]
