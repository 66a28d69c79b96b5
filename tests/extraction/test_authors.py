"""Names in bylines and data: people first, organisations typed, and only names."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from newsmill.extraction.html import parse_html
from newsmill.extraction.metadata.author_names import classify_author, split_names
from newsmill.extraction.metadata.authors import find_authors
from newsmill.extraction.metadata.structured_data import read_structured_data
from newsmill.model import Author, AuthorType


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("By Jane Doe", ["Jane Doe"]),
        ("By Jane Doe and John Roe", ["Jane Doe", "John Roe"]),
        ("Von Anna Berger, Thomas Keller", ["Anna Berger", "Thomas Keller"]),
        ("Par Marie Dupont et Jean Petit", ["Marie Dupont", "Jean Petit"]),
        ("Por Ana García y Luis Pérez", ["Ana García", "Luis Pérez"]),
        ("di Elena Marchetti", ["Elena Marchetti"]),
        ("Автор: Иван Петров", ["Иван Петров"]),
        ("文 / 王小明", ["王小明"]),
        ("山田\u3000太郎", ["山田 太郎"]),
        # a role joined to the name
        ("记者张三、李四", ["张三", "李四"]),
        ("本报记者张三", ["张三"]),
        ("江城日報 記者王小明／台北報導", ["王小明"]),
        ("撰文：王小明", ["王小明"]),
        ("責任編輯：王小明", []),
        ("取材・文／佐藤太郎", ["佐藤太郎"]),
        ("ジャン＝ポール・サルトル", ["ジャン＝ポール・サルトル"]),
        ("홍길동 기자", ["홍길동"]),
        ("홍길동·김철수 선임기자", ["홍길동", "김철수"]),
        ("홍길동 기자 외 1명", ["홍길동"]),
        # "and" in more languages
        ("Jan Kowalski i Anna Nowak", ["Jan Kowalski", "Anna Nowak"]),
        ("Josep Puig i Cadafalch", ["Josep Puig i Cadafalch"]),
        ("Γράφει ο Νίκος Παπάς", ["Νίκος Παπάς"]),
        ("Νίκος Παπάς και Μαρία Γεωργίου", ["Νίκος Παπάς", "Μαρία Γεωργίου"]),
        ("de Ion Popescu și Ana Ionescu", ["Ion Popescu", "Ana Ionescu"]),
        ("Іван Петренко і Марія Коваль", ["Іван Петренко", "Марія Коваль"]),
        ("نویسنده: علی رضایی و مریم کریمی", ["علی رضایی", "مریم کریمی"]),
        ("بقلم محمد أحمد", ["محمد أحمد"]),
        ("מאת דוד כהן", ["דוד כהן"]),
        ("โดย สมชาย ใจดี", ["สมชาย ใจดี"]),
        ("Par Jeanne Dupont avec AFP", ["Jeanne Dupont", "AFP"]),
        ("[email\xa0protected]", []),
        ("Jane \n \r\n Doe", ["Jane", "Doe"]),
        ("Jane \t Doe\u2028John Roe", ["Jane Doe", "John Roe"]),
        ("Jane Doe, jane@paper.example", ["Jane Doe"]),
        ("Jane Doe @janedoe", ["Jane Doe"]),
        ("https://facebook.example/paper", []),
        ("Jane Doe, Senior Political Correspondent", ["Jane Doe"]),
        ("Jane Doe, John Roe, and Max Moe", ["Jane Doe", "John Roe", "Max Moe"]),
        ("Jane Doe and John Roe - AP Technology Writers", ["Jane Doe", "John Roe"]),
        ("Marie Dupont, Jean Petit\nEnvoyés spéciaux à Toulouse", ["Marie Dupont", "Jean Petit"]),
        ("Jane Doe, et al.", ["Jane Doe"]),
        ("Jane Doe &\nJohn Roe", ["Jane Doe", "John Roe"]),
        ("Jane Doe, Special for THE PAPER", ["Jane Doe", "THE PAPER"]),
        ("You're logged in as\nAccount", []),
        ("Jane Doe, PhD", ["Jane Doe"]),
        ("Jane Doe (Berlin)", ["Jane Doe"]),
        ("Jane Doe • March 12, 2025", ["Jane Doe"]),
        ("Jane Doe | 25.11.2026, 10:43 Uhr", ["Jane Doe"]),
        ("View all posts by Jane Doe", ["Jane Doe"]),
        ("Zeige alle Beiträge von Anna Berger →", ["Anna Berger"]),
        ("Jane Doe, Foto: John Roe", ["Jane Doe"]),
        ("Dan", ["Dan"]),
        ("dpa/AFP", ["dpa", "AFP"]),
        ("Dieter Kuckelkorn", ["Dieter Kuckelkorn"]),  # "Di" is not "di"
        ("David Byrne", ["David Byrne"]),
        ("Michael L. Anderson", ["Michael L. Anderson"]),
        ("© Jane Doe", ["Jane Doe"]),
        ("This post was written by Jane Doe", ["Jane Doe"]),
        # what somebody is, in other languages too; who gave a picture; a date
        ("Jane Doe, Head of Product Marketing", ["Jane Doe"]),
        ("Marie Dupont, journaliste", ["Marie Dupont"]),
        ("Ana García, corresponsal en Lima", ["Ana García"]),
        ("Иван Петров, корреспондент", ["Иван Петров"]),
        ("Staff reporter", ["Staff reporter"]),
        ("Photo: Jane Doe", []),
        # roles of Chinese, Japanese and Korean; labels in other languages
        ("山田太郎 記者", ["山田太郎"]),
        ("文・佐藤健", ["佐藤健"]),
        ("记者 李明 报道", ["李明"]),
        ("서울=김철수 기자", ["김철수"]),
        ("كتب: محمد علي", ["محمد علي"]),
        ("كتبت - سارة محمود", ["سارة محمود"]),
        ("خبرنگار: مریم احمدی", ["مریم احمدی"]),
        ("تحریر: عمران خان", ["عمران خان"]),
        ("লেখক: রফিক ইসলাম", ["রফিক ইসলাম"]),
        ("எழுதியவர்: குமார் ராஜன்", ["குமார் ராஜன்"]),
        ("Της Μαρίας Νικολάου", ["Μαρίας Νικολάου"]),
        ("Oprac. Anna Nowak", ["Anna Nowak"]),
        ("ដោយ សុខ ចាន់", ["សុខ ចាន់"]),
        ("Jane Doe | John Roe", ["Jane Doe", "John Roe"]),
        ("Foto: dpa", []),
        ("Jane Doe, Sat, 20 Dec", ["Jane Doe"]),
        ("98 Buck Social", ["98 Buck Social"]),
        ("Home Depot", ["Home Depot"]),
        ("Olive Ryan", ["Olive Ryan"]),
        ("Marie", ["Marie"]),  # no month, though it begins like one
        ("Julia, Augustin & Jane", ["Julia", "Augustin", "Jane"]),
        ("3 Dec", []),
        ("Sept. 4th", []),
        ("Unknown", []),
        ("admin", []),
        ("12 minutes", []),
        ("November 26th", []),
        ("4 AM PT", []),
        ("", []),
    ],
)
def test_names(text: str, names: list[str]) -> None:
    assert split_names(text) == names


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("Jane Doe", "person"),
        ("dpa", "organisation"),
        ("AFP", "organisation"),
        ("Redaktion Politik", "organisation"),
        ("Paper Staff", "organisation"),
        ("paper.com", "organisation"),
        ("The Washington Post", "organisation"),
        ("Anna Berger", "person"),
        ("Reuters", "organisation"),
        ("Muster Medien GmbH & Co. KG", "organisation"),
    ],
)
def test_types(name: str, kind: str) -> None:
    assert classify_author(name) is AuthorType(kind)


def authors(head: str = "", body: str = "", hint: tuple[str, ...] = ()) -> tuple[list[tuple[str, str]], str] | None:
    tree = parse_html(f"<html><head>{head}</head><body><article><h1>A headline</h1>{body}<p>Some text.</p></article></body></html>").tree
    assert tree is not None
    found = find_authors(read_structured_data(tree, ""), frozenset({"paper"}), hint)
    return found and ([(author.name, author.type.value) for author in found[0]], found[1])


def json_ld(value: str) -> str:
    return f'<script type="application/ld+json">{{"@type":"NewsArticle","headline":"x","author":{value}}}</script>'


JANE = ([("Jane Doe", "person")], "json-ld")


@pytest.mark.parametrize(
    ("head", "body", "want"),
    [
        (json_ld('{"@type":"Person","name":"Jane Doe"}'), "", JANE),
        (json_ld('"By Jane Doe"'), "", JANE),
        (
            json_ld('[{"@type":"Person","name":"Jane Doe"},{"@type":"Organization","name":"AFP"}]'),
            "",
            ([("Jane Doe", "person"), ("AFP", "organisation")], "json-ld"),
        ),
        ('<meta name="author" content="Jane Doe">', "", ([("Jane Doe", "person")], "meta")),
        ("", '<a rel="author" href="/jane">Jane Doe</a>', ([("Jane Doe", "person")], "dom")),
        ("", '<div class="byline">By <span>Jane Doe</span><time>25 Nov 2026</time></div>', ([("Jane Doe", "person")], "dom")),
        ("", "<p>By Jane Doe</p>", ([("Jane Doe", "person")], "dom")),
        (
            "",
            '<span class="author">Jane Doe</span><span class="author">John Roe</span>',
            ([("Jane Doe", "person"), ("John Roe", "person")], "dom"),
        ),
        # what stands beside the name in a byline: a button, a credit, a role
        ("", '<div class="byline"><button>Jump to comments</button>By Jane Doe</div>', ([("Jane Doe", "person")], "dom")),
        (
            "",
            '<div class="byline"><b>Jane Doe</b><i class="byline__credit">Big Agency</i><i class="byline__role">Chief of All</i></div>',
            ([("Jane Doe", "person")], "dom"),
        ),
        (
            "",
            '<div class="byline"><span>Jane Doe</span> <span class="job-title">Chief</span> and <span>John Roe</span></div>',
            ([("Jane Doe", "person"), ("John Roe", "person")], "dom"),
        ),
        # the site's name in the data, a person in the byline
        (json_ld('{"@type":"Person","name":"Paper"}'), '<p class="byline">By Jane Doe</p>', ([("Jane Doe", "person")], "dom")),
        # the publisher beside a person, and an agency
        (
            json_ld('["Jane Doe", "CBC News", "Reuters"]'),
            "",
            ([("Jane Doe", "person"), ("Reuters", "organisation")], "json-ld"),
        ),
        # a user name in the data, a name in the byline
        ('<meta name="author" content="jdoe">', '<p class="byline">By Jane Doe</p>', ([("Jane Doe", "person")], "dom")),
        ('<meta name="author" content="jdoe">', "", ([("jdoe", "person")], "meta")),
        # a line without a mark in Chinese, Japanese and Korean
        ("", "<div>記者林美麗／高雄報導</div>", ([("林美麗", "person")], "dom")),
        ("", "<div>山田太郎 記者</div>", ([("山田太郎", "person")], "dom")),
        ("", "<div>홍길동 기자</div>", ([("홍길동", "person")], "dom")),
        # only the organisation anywhere
        (json_ld('{"@type":"Organization","name":"Paper"}'), "", ([("Paper", "organisation")], "json-ld")),
        # JSON-LD with the first of two
        (
            json_ld('"Jane Doe"') + '<meta name="author" content="Jane Doe, John Roe">',
            "",
            ([("Jane Doe", "person"), ("John Roe", "person")], "meta"),
        ),
        # each author in a <meta>, also with the surname first, beside a source with the first of them
        (
            '<meta name="author" content="Jane Doe">'
            '<meta name="citation_author" content="Doe, Jane"><meta name="citation_author" content="Roe, John">',
            "",
            ([("Jane Doe", "person"), ("John Roe", "person")], "meta"),
        ),
        (
            json_ld('"Jane Doe"')
            + '<meta property="article:author" content="Jane Doe"><meta property="article:author" content="John Roe">',
            "",
            ([("Jane Doe", "person"), ("John Roe", "person")], "meta"),
        ),
        (
            '<meta name="author" content="Jane Doe"><meta name="citation_author" content="Roe, John">',
            "",
            ([("Jane Doe", "person")], "meta"),
        ),
        ("", '<p class="byline">By Jane Doe and John Roe.</p>', ([("Jane Doe", "person"), ("John Roe", "person")], "dom")),
        # names that are somebody else's
        ("", '<div class="comments"><span class="comment-author">Ben</span><span class="comment-author">Tom</span></div>', None),
        ("", "", None),
    ],
)
def test_who_is_the_author(head: str, body: str, want: object) -> None:
    assert authors(head, body) == want


@pytest.mark.parametrize(
    ("page", "names"),
    [
        # a menu with other articles above, and a list of them below
        (
            '<div><div class="nav-story"><b class="author">Ana Brown</b></div></div>'
            '<main><header><h1>A headline</h1><div><span class="meta-author">Par Jane Doe</span></div></header></main>',
            ["Jane Doe"],
        ),
        (
            '<main><header><h1>A headline</h1><p>By <a href="/author/jane">Jane Doe</a></p></header><p>Text.</p></main>'
            '<section><article><h1>Other</h1><a class="byline" href="/author/ben">Ben Brown</a></article></section>',
            ["Jane Doe"],
        ),
        # a line without a mark, in a box of its own
        ("<header><div><h1>A headline</h1></div></header><div><div>By <span>Jane Doe</span></div><p>Text.</p></div>", ["Jane Doe"]),
        ("<h1>A headline</h1><p>Text.</p><div>Report by these ads</div>", []),
        (f'<h1>A headline</h1><p><i>By <a href="/jane">jane</a></i></p><p>{"This is text. " * 9}</p>', ["jane"]),
        # the titles of other articles in boxes that are named after their authors
        ("<h1>A headline</h1><ul>" + "".join(f'<li class="author">The {word} Bridges</li>' for word in "ABCDEFGHIJK") + "</ul>", []),
    ],
)
def test_the_byline_nearest_to_the_headline_counts(page: str, names: list[str]) -> None:
    assert authors_of(page) == names


def test_the_listing_comes_last() -> None:
    assert authors(hint=("Jane Doe",)) == ([("Jane Doe", "person")], "feed")


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=150))
def test_never_raises_and_names_are_short(text: str) -> None:
    for name in split_names(text):
        assert 1 < len(name) <= 60
        assert Author(name, classify_author(name)).name == name


def authors_of(body: str) -> list[str]:
    found = find_authors(read_structured_data(parse_html(f"<html><body>{body}</body></html>").tree), frozenset())
    return [author.name for author in found[0]] if found else []
