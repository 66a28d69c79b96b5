"""Words in scripts without spaces, in which a line is one piece, and in scripts with vowel signs and joiners inside words."""

from __future__ import annotations

import json

import pytest

from newsmill.extraction.mojibake import measure_mojibake
from newsmill.extraction.normalise import count_line_words, count_words
from newsmill.extraction.pipeline import read
from newsmill.extraction.site_profile.profile import PageBlocks, remove_copies
from newsmill.model import Block, BlockType, Outcome
from tests.extraction.html_pages import html, page

TITLE = "市议会表决通过大桥维修方案"
PROSE = (
    "市议会周二晚上在老市政厅开会，没有人料到辩论会持续到午夜，旁听席上坐满了附近的居民。",
    "多数发言者希望大桥继续开放，尽管工程师早已警告说桥梁支座磨损严重，必须尽快更换。",
    "十一点五十分进行了表决，结果以十一票赞成、九票反对通过了维修方案。",
    "工程将于明年春天开始，届时河水较低，渡轮可以把学生送到对岸上学。",
)
HEADLINES = (
    TITLE,
    "台风登陆沿海地区三万人转移",
    "新学期开学首日交通拥堵严重",
    "省博物馆推出青铜器特展",
    "足球队客场战平提前保级成功",
    "医院新楼启用床位增加一倍",
    "图书馆延长开放时间至深夜",
    "农产品价格回落菜篮子更轻",
)


def paragraphs(texts: tuple[str, ...] = PROSE) -> str:
    return "".join(f"<p>{text}</p>" for text in texts)


@pytest.mark.parametrize("text", ["one two, three", "größer – und „schneller“", "시의회는 화요일 저녁"])
def test_words_of_other_scripts_are_the_parts_between_spaces(text: str) -> None:
    assert count_line_words(text) == len(text.split())


@pytest.mark.parametrize("text", [*PROSE, "採決は午後十一時五十分に行われた。", "สภาเมืองประชุมเมื่อคืนวันอังคาร"])
def test_two_characters_are_a_word(text: str) -> None:
    assert count_line_words(text) == count_words(text) > 5


def test_a_visible_text_is_not_replaced_by_that_of_a_script() -> None:
    only_visible = "这一段只在页面上可见，脚本里没有这一段文字。"
    state = json.dumps({"content": paragraphs(PROSE * 2)}, ensure_ascii=False)
    body = f"<article><h1>{TITLE}</h1>{paragraphs()}<p>{only_visible}</p></article><script>window.__STATE__ = {state}</script>"
    document = read(page(html(body, lang="zh"))).document
    assert document is not None
    assert document.text == "\n\n".join((*PROSE, only_visible))


@pytest.mark.parametrize("text", ["<h3>{}</h3><p>{}，有关负责人昨日接受采访时作了介绍。</p>", "<h3>{}</h3><p>{}</p>"])
def test_a_list_of_headlines_is_no_article(text: str) -> None:
    items = "".join(f"<div>{text.format(f'<a href=/n/{number}.html>{line}</a>', line)}</div>" for number, line in enumerate(HEADLINES))
    found = read(page(html(f"<main><h1>新闻</h1>{items}</main>", lang="zh"), "https://paper.example/news/"))
    assert found.ending.outcome is Outcome.NOT_ARTICLE


def test_one_lost_character_is_one_unreadable_word() -> None:
    text = "\n\n".join(PROSE)
    assert 0 < measure_mojibake(text.replace("市议会", "市议\ufffd")) < 0.03


def test_copies_of_an_article_are_one_page_of_a_profile() -> None:
    blocks = tuple(Block(BlockType.PARAGRAPH, text * 3, path="body/main/p") for text in PROSE)
    copies = [
        PageBlocks(f"https://paper.example/news/{number}", (*blocks, Block(BlockType.PARAGRAPH, f"第{number}页"))) for number in range(3)
    ]
    assert len(remove_copies(copies)) == 1


@pytest.mark.parametrize(
    "text",
    [
        "परिषद की बैठक मंगलवार शाम को पुराने टाउन हॉल में हुई।",
        "পরিষদের সভা মঙ্গলবার সন্ধ্যায় পুরনো টাউন হলে",
        "நகர சபை செவ்வாய்க்கிழமை மாலை பழைய மண்டபத்தில்",
        "നഗരസഭ ചൊവ്വാഴ്ച വൈകുന്നേരം",
        "شورای شهر عصر سه\u200cشنبه در ساختمان قدیمی",
        "أَهْلًا وَسَهْلًا بِكُمْ",
        "אֲנִי הוֹלֵךְ הַבַּיְתָה",
        "Hội đồng thành phố họp",
    ],
)
def test_vowel_signs_and_joiners_do_not_cut_words(text: str) -> None:
    assert count_words(text) == len(text.split())
    assert count_words(f"{text} 市议") == len(text.split()) + 1


def test_the_blocks_of_a_persian_page_are_found() -> None:
    """trafilatura removes the joiners, with which Persian writes most words."""
    title = "شورای شهر به تعمیر پل رأی داد"
    prose = (
        "شورای شهر عصر سه\u200cشنبه در ساختمان قدیمی شهرداری تشکیل جلسه داد و هیچ\u200cکس انتظار نداشت بحث تا نیمه\u200cشب ادامه یابد.",
        "بیشتر سخنرانان می\u200cخواستند پل باز بماند، هرچند مهندسان هشدار داده بودند که یاتاقان\u200cهای آن فرسوده شده\u200cاند.",
        "رأی\u200cگیری ده دقیقه به دوازده انجام شد و با یازده رأی موافق و نه رأی مخالف پایان یافت.",
    )
    document = read(page(html(f"<article><h1>{title}</h1>{paragraphs(prose)}</article>", lang="fa"))).document
    assert document is not None
    assert (document.text, document.title, document.warnings) == ("\n\n".join(prose), title, ())
    assert document.word_count == len(document.text.split())
