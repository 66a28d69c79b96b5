"""Search as people use it, on both databases."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from articles import article, found, numbers, store
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from rows import SITE, Mill, after, good, insert_documents
from sqlalchemy import Engine, delete, select, update

from newsmill.exceptions import CursorError
from newsmill.model import DOUBTFUL_CONFIDENCE, Author, Document, is_doubtful
from newsmill.search import form_table, postgres_backend, ranked
from newsmill.search.indexer import count_pending, index_pending
from newsmill.search.parsed_query import AllOf, AnyOf, Facet, Node, NoneOf, Terms
from newsmill.search.query import parse_query
from newsmill.search.results import MAX_TOTAL
from newsmill.search.search import Search
from newsmill.search.tokens import tokenize
from newsmill.storage.database import writing
from newsmill.storage.ledger import Ledger
from newsmill.storage.schema import documents, search_forms


@pytest.fixture
def search(engine: Engine) -> Search:
    return Search(engine)


# ---- what is found -----------------------------------------------------------------------------------------------------------


def test_words_phrases_exclusions_alternatives_and_fields(engine: Engine, search: Search) -> None:
    store(
        engine,
        article(1, "The harbour opens at noon.", source="paper", authors=(Author("Ann Smith"),), section="Local News", is_free=True),
        article(2, "At noon the old harbour shuts.", source="the-paper", authors=(Author("Bob Jones"),), is_free=None, title="Big news"),
        article(3, "Der Hafen öffnet mittags.", source="blatt", language="de-AT", is_free=False),
    )
    assert found(search, "harbour noon") == {"1", "2"} == found(search, "HARBOUR  Noon!")
    assert found(search, '"old harbour"') == {"2"} == found(search, "“old harbour”") == found(search, "old-harbour")
    assert found(search, "noon -old") == {"1"}
    assert found(search, 'harbour -"at noon the"') == {"1"}
    assert found(search, "opens OR shuts OR Hafen") == {"1", "2", "3"}
    assert found(search, "noon opens OR shuts") == {"1", "2"}
    assert found(search, "offnet") == {"3"} == found(search, "ÖFFNET")
    assert found(search, "title:news") == {"2"} == found(search, 'title:"big news"')
    assert found(search, "source:paper") == {"1"} == found(search, "source:PAPER harbour")
    assert found(search, "source:paper OR source:blatt") == {"1", "3"} == found(search, "-source:the-paper")
    assert found(search, "lang:de") == {"3"} == found(search, "lang:de-at") == found(search, "-lang:en")
    assert found(search, "author:smith") == {"1"} == found(search, 'author:"Ann Smith"')
    assert found(search, "author:smith author:jones") == set()
    assert found(search, "section:local") == {"1"}
    assert found(search, "site:paper.example") == {"1", "2", "3"} == found(search, "site:www.paper.example")
    assert found(search, "is_free:yes") == {"1"} and found(search, "is_free:false") == {"3"} and found(search, "is_free:unknown") == {"2"}
    assert found(search, "nosuchfield:harbour") == set() == found(search, "is_free:maybe") == found(search, "after:noon")
    assert found(search, "lang:german") == {"3"} == found(search, "lang:Deutsch") == found(search, "language: allemand OR lang:de")
    assert found(search, "") == {"1", "2", "3"} == found(search, "  ")
    assert found(search, "!!!") == set() == found(search, "-harbour") == found(search, "OR")


def test_the_title_is_not_searched_in_the_text(engine: Engine, search: Search) -> None:
    """Forms and pairs of words count where they stand, for the filter and for the order."""
    store(
        engine,
        article(1, "The markets rose on the way to the summit.", title="A quiet day"),
        article(2, "Nothing happened.", title="The markets rose on the way to the summit"),
    )
    for words in ("market", "markets", '"to the"', '"the way to"'):
        assert found(search, words) == {"1", "2"}, words
        assert found(search, f"title:{words}") == {"2"}, words
        assert found(search, f"-title:{words} rose") == {"1"}, words
        assert numbers(search, words)[0] == "2", words  # a title counts more


def test_doubtful_documents(engine: Engine, search: Search) -> None:
    bound = DOUBTFUL_CONFIDENCE
    sure, doubtful = article(1, "The harbour opens.", confidence=bound), article(2, "The harbour shuts.", confidence=bound - 0.01)
    store(engine, sure, doubtful, article(3, "The ferry waits.", confidence=None))
    assert found(search, "doubtful:yes") == {"2"} == found(search, "doubtful:true harbour") == found(search, "-doubtful:no")
    assert found(search, "doubtful:no") == {"1", "3"} == found(search, "-doubtful:yes") == found(search, "doubtful:false the")
    assert found(search, "doubtful:no OR shuts") == {"1", "2", "3"}
    assert found(search, "doubtful:perhaps") == set()
    with writing(engine) as conn:  # a page is read again
        conn.execute(update(documents).where(documents.c.id == sure.id).values(confidence=bound - 0.01))
    assert count_pending(engine) == 1
    index_pending(engine)
    assert found(search, "doubtful:yes") == {"1", "2"}


def test_times(engine: Engine, search: Search) -> None:
    day = {"published_precision": "day", "published_at": datetime.fromisoformat("2026-11-24T00:00:00+00:00")}
    store(engine, article(1), article(2, published_at=None), article(3, **day), article(4, published_at=after(days=900)))
    assert numbers(search, "") == ["4", "1", "3", "2"]  # nothing is published after it was seen; the second is undated
    assert found(search, "after:2026-11-25") == {"1", "4"} == found(search, "-before:2026-11-25")
    assert found(search, "before:2026-11-25") == {"3"} == found(search, "before:2026-11-25T00:00Z article")
    assert found(search, "after:2026-11-24 before:2026-11-25") == {"3"}
    assert found(search, "before:2026") == set() == found(search, "after:2027-01")
    assert search.count_over_time("article", "day") == ((after(hours=-36), 1), (after(hours=-12), 2))
    assert search.count_over_time(since=after(hours=2), until=after(hours=5)) == ()
    assert found(search, "dated:no") == {"2"} == found(search, "-dated:yes article") and found(search, "dated:yes") == {"1", "3", "4"}
    assert found(search, "dated:no after:2000") == set() == found(search, "dated:no before:2030") == found(search, "dated:maybe")
    assert numbers(search, "article")[-1] == "2" and search.search("article", explain=True).hits[-1].score.recency == 1  # type: ignore[union-attr]
    assert search.count_by_source("before:2026-11-25") == (("paper", 1),)


def test_languages(engine: Engine, search: Search) -> None:
    texts = {
        "zh": ("中国经济增长了。", "中国", "经济增长", "国", "中国增长"),
        "ja": ("東京都の猫は黒猫です", "東京", "京都の", "猫", "京都市"),
        "th": ("นายกรัฐมนตรีเดินทางไปเชียงใหม่", "รัฐมนตรี", "เชียงใหม่", "ไป", "ภูเก็ต"),
        "km": ("ប្រទេសកម្ពុជាមានប្រជាជន", "កម្ពុជា", "ប្រទេស", "មាន", "ភ្នំពេញ"),
        "ko": ("서울에서 열린 회의", "서울", "회의", "열린", "부산"),
        "hi": ("हिन्दी समाचार पत्र", "हिन्दी", "समाचार", "समाचार पत्र", "खेल"),
        "ar": ("أَخبار القُدس اليوم", "اخبار", "القدس", "أخبار اليوم", "غزة"),
        "ru": ("Новый поезд в Ёлкино", "поезд", "новый", "ёлкино", "поэзия"),
        "tr": ("İstanbul'da ışık", "istanbul", "isik", "IŞIK", "ankara"),
        "el": ("Η Αθήνα σήμερα", "αθηνα", "σημερα", "ΑΘΗΝΑ", "πατρα"),
    }
    store(engine, *(article(n, text, language=language) for n, (language, (text, *_)) in enumerate(texts.items())))
    for number, (language, (_, *hits, miss)) in enumerate(texts.items()):
        for query in hits:
            assert found(search, f"{query} lang:{language}") == {str(number)}, query
        assert found(search, miss) == set(), miss


def test_forms_of_a_word(engine: Engine, search: Search) -> None:
    """A word matches other forms of its lemma in documents of that language, and nothing else."""
    store(
        engine,
        article(1, "She was running for office; universities closed. The Who. The organ is new."),
        article(2, "Die Häuser wurden verkauft", language="de"),
        article(3, "mark"),
        article(4, "un runs de plus", language=None),
        article(5, "News of an organization: generations of Marxists generate it.", title="x"),
        article(6, "A haus in another language", language="sv"),
    )
    assert found(search, "run") == {"1"} and found(search, "runs") == {"1", "4"} and found(search, "ran") == {"1"}
    assert found(search, "university") == {"1"} and found(search, '"the who"') == {"1"}
    assert found(search, "haus") == {"2", "6"} and found(search, "Hauses") == {"2"} == found(search, "häuser") == found(search, "verkaufen")
    assert found(search, "news") == {"5"} and found(search, "new") == {"1"} and found(search, "market") == set()
    assert found(search, "organization") == {"5"} and found(search, "organs") == {"1"} and found(search, "generation") == {"5"}
    for query in ("=run", '"run"', 'title:"run"', "=haus lang:de", '"runs for"', "-run run"):
        assert found(search, query) == set(), query
    assert found(search, "=running") == {"1"} == found(search, '"running"') == found(search, "organ -generate")


def test_the_dictionaries_of_the_common_languages_are_loaded(engine: Engine, search: Search, monkeypatch: pytest.MonkeyPatch) -> None:
    store(engine, article(1, "The ferry."), article(2, "Die Fähre.", language="de"), article(3, "渡船", language="zh"))
    loaded: list[str] = []
    monkeypatch.setattr(form_table, "find_form", lambda word, lemmatizer: loaded.append(lemmatizer))
    search.load_language_data()
    assert sorted(loaded) == ["de", "en"]


def test_words_as_typed_count_more_than_other_forms(engine: Engine, search: Search) -> None:
    store(
        engine,
        article(1, "They held an election.", published_at=after(days=-20_000)),
        article(2, "They held two elections."),
        article(3, "Elections were held, an election."),
    )
    assert numbers(search, "election") == ["3", "1", "2"] and numbers(search, "elections") == ["3", "2", "1"]
    assert numbers(search, "election", order="newest") == ["3", "2", "1"]


def test_prefixes_operators_and_brackets(engine: Engine, search: Search) -> None:
    store(engine, article(1, "market hall"), article(2, "marked trees"), article(3, "the remark, Marx"), article(4, "trees at the hall"))
    assert found(search, "mark*") == {"1", "2"} == found(search, '"mark*"') == found(search, "marke* -zzz")
    assert found(search, '"the hal*"') == {"4"} == found(search, '"the hal"*') and found(search, "title:mark*") == set()
    assert found(search, "hall NOT trees") == {"1"} == found(search, "hall AND NOT trees") == found(search, "hall AND market")
    assert found(search, "hall !trees") == {"1"} == found(search, "hall & !(trees marx) market") == found(search, 'hall !"trees at"')
    assert found(search, "hall ! trees!") == {"4"} == found(search, "hall !!!trees") == found(search, "hall NOT !trees")
    assert found(search, "trees !lang:de") == {"2", "4"} and found(search, "!trees") == set()
    assert found(search, "marx OR NOT trees") == {"1", "3"} and found(search, "NOT trees") == set()
    assert found(search, "(market hall) OR (marked trees)") == {"1", "2"} == found(search, "NOT (hall trees) AND (hall OR trees)")
    assert found(search, "((hall) (trees") == {"4"} == found(search, "hall) trees)") and found(search, "()") == set()


# ---- any input is a query ----------------------------------------------------------------------------------------------------

TEXTS = ["a b c", "b a", "c", "a-b 'x' AND b", "中国经济", "国经 a", "É e1 NEAR(a b) *", ""]


def holds(node: Node, document: Document) -> bool:
    """The meaning of a query in the simplest code."""
    match node:
        case NoneOf():
            return not holds(node.node, document)
        case AllOf():
            return all(holds(child, document) for child in node.nodes)
        case AnyOf():
            return any(holds(child, document) for child in node.nodes)
        case Facet():
            values = {"source": document.source, "lang": document.language, "site": "paper.example", "type": "newsarticle"}
            values |= {"is_free": "no", "doubtful": "yes" if is_doubtful(document.confidence) else None}
            return values.get(node.name) == node.value
        case Terms():
            parts = [document.title or ""] + ([] if node.part else [document.text])
            return any(_side_by_side(node, tokenize(part)) for part in parts)


def _side_by_side(wanted: Terms, held: Sequence[str]) -> bool:
    size = len(wanted.words)
    runs = (tuple(held[at : at + size]) for at in range(len(held) - size + 1))
    return any(
        run[:-1] == wanted.words[:-1] and (run[-1] == wanted.words[-1] or (wanted.prefix and run[-1].startswith(wanted.words[-1])))
        for run in runs
    )


@pytest.fixture
def small(engine: Engine) -> list[Document]:
    some = [article(n, text, language=None, source="s" if n % 2 else "x", is_free=False) for n, text in enumerate(TEXTS)]
    store(engine, *some)
    return some


PIECES = st.sampled_from(
    [
        '"',
        "-",
        " ",
        " ",
        "a",
        "b",
        "c",
        "e",
        "OR",
        " OR ",
        "title:",
        "source:",
        "s",
        "x",
        ":",
        "*",
        "(",
        ")",
        "中",
        "国",
        "article",
        "1",
        "'",
        "^",
        "\\",
        "NEAR",
        "|",
        "\0",
        "{",
        "\ud800",
    ]
)


@given(query=st.one_of(st.text(), st.lists(PIECES, max_size=14).map("".join)))
@example(query="x OR -a")
@example(query="DOUBTFUL:NO")
@example(query="doubtful:yes -type:NewsArticle")
@example(query="A国")
@example(query="SOU*")  # the beginning of "source", which each document has
@example(query="lan* OR sit* OR aut*")
@settings(max_examples=70, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_input_is_a_query_and_means_the_same_on_both(query: str, small: list[Document], search: Search) -> None:
    parsed = parse_query(query)
    wanted = {d.url.rpartition("/")[2] for d in small if not parsed.matches_nothing and (parsed.node is None or holds(parsed.node, d))}
    if parsed.since is None and parsed.until is None:
        assert found(search, query) == wanted


def test_no_hostile_string_is_an_error_or_finds_everything(shared: Path, small: list[Document], search: Search) -> None:
    lines = (shared / "cases/injection/cases.jsonl").read_text(encoding="utf-8").splitlines()
    payloads = {json.loads(line)["payload"] for line in lines}
    assert len(payloads) > 2000
    for payload in sorted(payloads)[::3]:
        total = search.count(payload)
        assert total < len(small) or not payload.strip(), payload


def test_a_query_may_be_long(search: Search) -> None:
    for query in ('"' + "a " * 5000, "-a " * 5000, "a OR " * 5000, "(" * 5000, "title:" * 5000, "x" * 100_000, "猫" * 10_000):
        assert search.search(query).hits == ()


# ---- order and pages ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["relevance", "newest"])
@pytest.mark.parametrize("query", ["word", "word -even", ""])
def test_pages_neither_repeat_nor_leave_out_anything(
    engine: Engine, search: Search, query: str, order: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranked, "BLOCK_MATCHES", 8)
    monkeypatch.setattr(ranked, "TITLE_MATCHES", 5)
    many = [
        article(n, f"word {'odd' if n % 2 else 'even'}", title="word" if n % 3 else "x", published_at=after(days=-n * n)) for n in range(30)
    ]
    store(engine, *many)
    expected = {str(n) for n in range(30) if n % 2 or "even" not in query}
    seen: list[str] = []
    cursor: str | None = None
    while True:
        page = search.search(query, limit=4, cursor=cursor, order=order, wait=True)  # type: ignore[arg-type]
        assert page.total == len(expected) + (1 if seen else 0)
        if not seen:
            store(engine, article(99, "word new odd", published_at=after(hours=1)))
        seen += [hit.url.rpartition("/")[2] for hit in page.hits]
        if (cursor := page.cursor) is None:
            break
    assert len(seen) == len(set(seen))
    assert expected <= set(seen) <= expected | {"99"}


def test_a_cursor_of_somebody_else_is_a_sentence(engine: Engine, search: Search, small: list[Document]) -> None:
    newest = search.search("", limit=1).cursor
    stored = next(search.iterate()).cursor
    for cursor in ("", "x", "é", "W10", "bnVsbA", "a" * 10_000, "[" * 3000, stored):
        for order in ("newest", "relevance"):
            with pytest.raises(CursorError, match="is not a cursor of this list; start again without it"):
                search.search("a", cursor=cursor, order=order)  # type: ignore[arg-type]
    with pytest.raises(CursorError):
        list(search.iterate(since=newest))


def test_totals_and_empty_results(engine: Engine, search: Search, small: list[Document]) -> None:
    assert search.search("article", limit=2).total == len(small) == search.count("article")
    assert search.count("article", max_count=3) == 4
    nothing = search.search("nothing-like-this")
    assert (nothing.hits, nothing.cursor, nothing.total) == ((), None, 0)
    assert MAX_TOTAL == 10_000


def test_counting_that_takes_long_is_given_up(engine: Engine, search: Search, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page is there all the same."""
    store(engine, *(article(n, "word") for n in range(5)))
    if engine.dialect.name == "postgresql":
        monkeypatch.setattr(postgres_backend, "_select_matches", lambda *_: "SELECT pg_sleep(2)")
        page = search.search("word", limit=2)
        assert (len(page.hits), page.total) == (2, 5)  # the newest 400 hold all there are
        page = search.search("", limit=2)
        assert (len(page.hits), page.total) == (2, None)


def test_a_hit_shows_why_it_was_found(engine: Engine, search: Search) -> None:
    text = "First.\n\n" + "Filler words here. " * 40 + "The café’s owner was running <b>late</b>." + " End" * 100
    store(engine, article(1, text, authors=(Author("Ann"), Author("Bob")), section="Local"))
    hit = search.search("cafe run").hits[0]
    assert (tuple(map(str, hit.authors)), hit.section, hit.source, hit.title, hit.language) == (
        ("Ann", "Bob"),
        "Local",
        "paper",
        "Article 1",
        "en",
    )
    assert [piece for piece, marked in hit.snippet if marked] == ["café", "running"]
    snippet = "".join(piece for piece, _ in hit.snippet)
    assert (
        "The café’s owner was running <b>late</b>." in snippet
        and snippet.startswith("… ")
        and snippet.endswith(" …")
        and len(snippet) < 300
    )
    assert search.search("").hits[0].snippet[0][0].startswith("First. Filler")


# ---- the index follows the documents -------------------------------------------------------------------------------------------


def test_the_index_follows_changes_and_deletions(engine: Engine, search: Search) -> None:
    store(engine, article(1, "old words"), article(2, "old words", language="de"))
    with writing(engine) as conn:  # as a worker of before the index does, or a person in a database shell
        changed = {"text": "new wörter", "language": "en", "published_at": after(days=-5)}
        conn.execute(update(documents).where(documents.c.url == f"{SITE}/2").values(**changed))
    assert count_pending(engine) == 1 and index_pending(engine) == 1 and count_pending(engine) == 0
    assert found(search, "old") == {"1"} and found(search, "worter") == {"2"} and found(search, "words OR new") == {"1", "2"}
    with writing(engine) as conn:
        conn.execute(update(documents).values(fetched_at=after(days=9), tags=["x"]))
    assert count_pending(engine) == 0
    with writing(engine) as conn:
        conn.execute(delete(documents).where(documents.c.url == f"{SITE}/1"))
    assert found(search, "old") == set() == found(search, "article -new") and search.count() == 1


def test_forms_of_a_transaction_that_is_rolled_back_are_not_known(engine: Engine) -> None:
    rows, find_forms = [("ferries", "en", "ferry")], select(search_forms.c.form)
    with pytest.raises(ZeroDivisionError), writing(engine) as conn:
        for _ in range(2):  # the second call finds what the first one has added
            form_table.register_forms(conn, rows)
        raise ZeroDivisionError
    with writing(engine) as conn:
        form_table.register_forms(conn, rows)
        assert conn.execute(find_forms).scalars().all() == ["ferries"]


def test_a_document_that_waits_to_be_indexed_may_be_stored_again(engine: Engine, search: Search) -> None:
    store(engine, article(1, "old words"))
    with writing(engine) as conn:
        conn.execute(update(documents).values(text="words of a database shell"))
    assert count_pending(engine) == 1
    mill = Mill(Ledger(engine))
    mill.ledger.retries.retry(now=mill.now, urls=[f"{SITE}/1"], refetch=True)
    mill.lease()
    (claim,) = mill.claim(mill.save())
    mill.store(good(claim, article(1, "new words", content="two")))
    assert count_pending(engine) == 0 and found(search, "new") == {"1"} and not found(search, "shell")


def test_documents_that_the_program_did_not_write_are_indexed_in_batches(engine: Engine, search: Search) -> None:
    insert_documents(engine, *(replace(article(1, "harbour"), id=f"{n:032x}") for n in range(450)))
    assert index_pending(engine, max_documents=10_000) == 450
    assert search.count("harbour") == 450


# ---- the stream ----------------------------------------------------------------------------------------------------------------


def test_the_stream_is_complete_in_order_and_goes_on_where_it_was_left(
    engine: Engine, search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("newsmill.search.stored_order.PAGE_DOCUMENTS", 7)
    store(engine, *(article(n, "odd" if n % 2 else "even", language="en" if n % 3 else "de") for n in range(40)))
    with writing(engine) as conn:
        for n in range(40):
            conn.execute(update(documents).where(documents.c.url == f"{SITE}/{n}").values(stored_at=after(minutes=n * 7 % 10)))
    every = list(search.iterate())
    assert len(every) == 40 == len({stored.document.id for stored in every})
    assert [(s.stored_at, s.document.id) for s in every] == sorted((s.stored_at, s.document.id) for s in every)
    odd = list(search.iterate("odd"))
    assert odd == [stored for stored in every if stored.document.text == "odd"]
    assert list(search.iterate("odd", since=odd[4].cursor)) == odd[5:]
    assert list(search.iterate(since=after(minutes=3))) == [s for s in every if after(minutes=3) <= s.stored_at]
    assert list(search.iterate("after:2026-11-26 lang:de")) == [
        s for s in every if s.document.language == "de" and s.document.published_at >= after(hours=12)
    ]  # type: ignore[operator]
    assert list(search.iterate("!!!")) == []
