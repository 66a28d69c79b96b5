"""Article or not: what a page is when it is no article, in a name and a sentence. When in doubt a page is an article."""

from __future__ import annotations

import re

from lxml.html import HtmlElement

from newsmill.model import Ending, Outcome
from newsmill.read.structured import ARTICLE_TYPES, LIST_TYPES, Structured

# First bytes of what is served behind an .html address and is none: images, PDF, archives, fonts, media, programs.
_MAGIC = (
    (b"%PDF-", "a PDF"), (b"\x89PNG", "a PNG image"), (b"\xff\xd8\xff", "a JPEG image"), (b"GIF8", "a GIF image"), (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "a gzip file"), (b"Rar!", "a RAR archive"), (b"7z\xbc\xaf", "a 7z archive"), (b"BM", "a bitmap"), (b"ID3", "an MP3 file"), (b"OggS", "an Ogg file"),
    (b"\x00\x00\x01\x00", "an icon"), (b"wOFF", "a font"), (b"wOF2", "a font"), (b"\x7fELF", "a program"), (b"MZ", "a program"), (b"\xd0\xcf\x11\xe0", "an Office file"), (b"{\\rtf", "an RTF file"),
)  # fmt: skip
_HTML_TYPES = (
    "text/html",
    "application/xhtml+xml",
    "text/plain",
    "application/xml",
    "text/xml",
    "application/octet-stream",
    "unknown/unknown",
    "",
)
_MARKUP = re.compile(rb"<\s*(?:!doctype|html|head|body|title|meta|div|p|article|script|h1|table|span|a)\b|<!--", re.IGNORECASE)

SHORT = 150  # words; what a wall, an error page or an empty application says at most
_NOT_FOUND = re.compile(
    r"\b404\b|(?:page|article|story|content|site|document) (?:(?:you requested |you are looking for |was |is |could |can )*(?:not|no longer|n['’]t)(?: be)?) (?:found|available|exist)|"
    r"page not found|not found|does ?n['’]t exist|no longer (?:exists|available)|seite (?:wurde |konnte )?(?:leider )?nicht (?:gefunden|gefunden werden)|nicht gefunden|existiert nicht(?: mehr)?|"
    r"page (?:introuvable|non trouvée)|n['’]existe (?:pas|plus)|p[áa]gina no (?:encontrada|existe)|no se (?:ha encontrado|encontró|encuentra)|p[áa]gina não (?:encontrada|existe)|"
    r"pagina non (?:trovata|esiste)|pagina niet gevonden|niet gevonden|sidan (?:kunde inte hittas|finns inte)|siden (?:ble ikke funnet|blev ikke fundet|finnes ikke|findes ikke)|"
    r"sivua ei löy|nie znaleziono|strona nie istnieje|stránka nebyla nalezena|nem található|страница не найдена|не найдена|сторінку не знайдено|sayfa bulunamad|الصفحة غير موجودة|"
    r"页面不存在|找不到|ページが見つかりません|찾을 수 없습니다",
    re.IGNORECASE,
)
_CONSENT = re.compile(
    r"\bcookies?\b|\bconsent\b|privacy (?:settings|policy|preferences)|einwilligung|zustimm(?:en|ung)|datenschutz|akzeptieren|tracking|consentement|accepter|vie privée|consentimiento|aceptar|"
    r"privacidad|consenso|accetta|toestemming|akkoord|samtycke|samtykke|suostumus|zgod[aęy]|souhlas|согласие|файлы cookie|çerez|ملفات تعريف|クッキー|쿠키|我们使用",
    re.IGNORECASE,
)
_SUBSCRIBE = re.compile(
    r"subscri(?:be|ption|bers?)|sign in to (?:read|continue)|log ?in to (?:read|continue)|already a (?:subscriber|member)|to (?:continue|keep) reading|unlock this|premium|paywall|"
    r"abonn(?:ieren|ent(?:en)?|ement|ez|és?)|weiterlesen mit|jetzt (?:testen|abonnieren)|registrieren|anmelden|réservé aux|suscr[ií]b|suscriptor|assin(?:e|ante|atura)|abbon(?:ati|amento)|"
    r"abonneer|abonnee|prenumer|abonnent|tilaa|tilaajille|prenumerat|předplat|előfizet|подпис(?:к|ат|чик)|abone|اشتراك|订阅|購読|会員限定|구독",
    re.IGNORECASE,
)
_SCRIPT = re.compile(
    r"(?:enable|activate|turn on|requires?|needs?|without) (?:your )?java ?script|java ?script (?:is (?:disabled|required|not enabled)|must be|aktivieren|deaktiviert|benötigt|erforderlich|ist)|"
    r"(?:activer|activez|habilit\w+|activ[ae]|abilita\w*|ative|schakel|aktiver|aktivera|włącz|включите|увімкніть) (?:le |el |o )?java ?script|启用javascript|javascriptを有効",
    re.IGNORECASE,
)
_LISTS = re.compile(
    r"/(?:tags?|topics?|themen?|thema|schlagwort(?:e|er)?|stichwort|etiquetas?|sujets?|temas?|tagged|authors?|autor(?:en|es|in)?|auteurs?|autori|profile?s?|people|category|categories|kategorien?|"
    r"categor[ií]a|rubrik(?:en)?|sections?|archives?|archiv|search|suche|buscar|recherche|ricerca|zoeken|page)/",
    re.IGNORECASE,
)
_SEARCH = re.compile(r"[?&](?:s|q|query|search|suche)=", re.IGNORECASE)


def not_html(body: bytes, content_type: str | None) -> Ending | None:
    """An ending for bytes that are no HTML, whatever their address says."""
    start = body[:1024].lstrip(b"\xef\xbb\xbf \t\r\n\f")
    if not start:
        return Ending(Outcome.NO_TEXT, "the body is empty")
    named = next((name for magic, name in _MAGIC if body.startswith(magic)), None)
    if named is not None and not (len(named) < 12 and _MARKUP.search(body[:4096])):
        return Ending(Outcome.NOT_HTML, f"the body is {named}")
    media = (content_type or "").split(";")[0].strip().lower()
    if media not in _HTML_TYPES and _MARKUP.search(body[:4096]) is None:
        return Ending(Outcome.NOT_HTML, f"the server calls it {media}")
    if start[:1] in (b"{", b"[") and _MARKUP.search(body[:4096]) is None:
        return Ending(Outcome.NOT_HTML, "the body is JSON")
    if re.match(
        rb"(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*<(?:rss|feed|rdf:rdf|urlset|sitemapindex|svg)\b", start, re.IGNORECASE | re.DOTALL
    ):
        return Ending(Outcome.NOT_HTML, "the body is XML: a feed, a sitemap or a drawing")
    if body[:4096].count(0) > 400 and _MARKUP.search(body[:4096].replace(b"\0", b"")) is None:
        return Ending(Outcome.NOT_HTML, "the body is binary")
    return None


def says_article(page: Structured) -> bool:
    """True when the page calls itself one article, for machines."""
    if page.article is not None:
        return True
    return (page.first("og:type") or "").strip().lower() == "article" or "article:published_time" in page.meta


def judge(page: Structured, tree: HtmlElement, text: str, url: str) -> Ending | None:
    """The ending of a page that is no article; None for an article. `text` is the cleaned body."""
    words = len(text.split()) if not _is_cjk(text) else len(text) // 2
    article = says_article(page)
    if words < SHORT:
        found = _short_page(page, tree, text, words, article)
        if found is not None:
            return found
    if words == 0:
        return Ending(Outcome.NO_TEXT, "no text was found in the page's body")
    return None if article else _list_page(page, tree, words, url)


def _is_cjk(text: str) -> bool:
    return sum("\u3040" <= char <= "\u9fff" or "\uac00" <= char <= "\ud7af" or "\u0e00" <= char <= "\u0e7f" for char in text[:200]) > 60


def _short_page(page: Structured, tree: HtmlElement, text: str, words: int, article: bool) -> Ending | None:
    heads = " | ".join((page.title or "", *page.headings[:2]))
    if not article and _NOT_FOUND.search(heads):
        return Ending(Outcome.SOFT_404, f"the page is titled {heads[:100]!r} under status 200")
    if _SCRIPT.search(text) or (words < 30 and _SCRIPT.search(_noscript(tree))):
        return Ending(Outcome.NEEDS_SCRIPT, f"{words} words without JavaScript, and a request to switch it on")
    if not article and len(_CONSENT.findall(text)) >= 2:
        return Ending(Outcome.CONSENT_WALL, f"{words} words, all about cookies and consent")
    if not article and words < 80 and _NOT_FOUND.search(text):
        return Ending(Outcome.SOFT_404, f"the page says {text[:100]!r} under status 200")
    if words < 80 and _is_video(page):
        return Ending(Outcome.NOT_ARTICLE, f"a video with {words} words of text")
    return None


def _noscript(tree: HtmlElement) -> str:
    return " ".join(" ".join(element.itertext()) for element in tree.iter("noscript"))[:5000]


def _is_video(page: Structured) -> bool:
    kind = (page.first("og:type") or "").lower()
    return kind.startswith("video") or (page.article is None and "VideoObject" in page.types())


def _list_page(page: Structured, tree: HtmlElement, words: int, url: str) -> Ending | None:
    """Index, tag, author and search pages: they say so in their address or their data, or hold many headlines and little prose."""
    path = re.sub(r"^https?://[^/]*", "", url)
    if _SEARCH.search(path):
        return Ending(Outcome.NOT_ARTICLE, "a search page, by its address")
    kinds = page.types() & LIST_TYPES
    if kinds and not page.types() & set(ARTICLE_TYPES):
        return Ending(Outcome.NOT_ARTICLE, f"a list page: JSON-LD calls it {', '.join(sorted(kinds))}")
    headlines, prose = _shape(tree)
    if _LISTS.search(path) and prose < max(3, headlines // 4):
        return Ending(
            Outcome.NOT_ARTICLE, f"a tag, author, category or archive page, by its address; {headlines} headlines, {prose} long paragraphs"
        )
    if path in ("", "/") and url:
        return Ending(Outcome.NOT_ARTICLE, "the site's homepage")
    if headlines >= 8 and prose <= headlines // 8 and words < 60 * max(headlines, 1):
        return Ending(Outcome.NOT_ARTICLE, f"an index page: {headlines} linked headlines, {prose} long paragraphs")
    return None


def _shape(tree: HtmlElement) -> tuple[int, int]:
    """Linked headlines (four words and more) and paragraphs of thirty words and more outside links."""
    headlines = sum(len("".join(link.itertext()).split()) >= 4 for link in tree.iter("a"))
    prose = 0
    for paragraph in tree.iter("p"):
        linked = sum(len("".join(link.itertext()).split()) for link in paragraph.iter("a"))
        inside = any(parent.tag == "a" for parent in paragraph.iterancestors())
        prose += not inside and len("".join(paragraph.itertext()).split()) - linked >= 30
    return headlines, prose
