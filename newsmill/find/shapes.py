"""What the spelling of a URL alone says: an article, a list, a trap, a file. Takes URLs in normal form; knows no site."""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

ARTICLE = 2  # points from which a URL alone looks like an article's

_FILES = re.compile(
    r"\.(?:jpe?g|png|gif|webp|avif|svg|ico|bmp|tiff?|mp[34]|m4[av]|mpe?g|mov|avi|wmv|webm|og[gv]|wav|flac|aac|m3u8?|pls|pdf|docx?|xlsx?|"
    r"pptx?|odt|ods|epub|mobi|zip|gz|tgz|bz2|xz|rar|7z|tar|exe|dmg|apk|iso|css|js|mjs|json|xml|rss|atom|txt|csv|ics|vcf|woff2?|ttf|eot|swf|map)$",
    re.I,
)
# First or later path words that lead to lists, forms and services, in the languages we have seen them in.
_LISTS = frozenset(
    """
    tag tags topic topics thema themen theme themes tema temas etiqueta etiquetas etichetta sujet sujets mot-cle keyword keywords
    author authors autor autoren autores auteur auteurs autore autori by profile profiles user users member members people staff team
    journalist journalists contributor contributors redaktion verfasser byline bylines columnist columnists
    category categories kategorie kategorien categorie categoria categorias rubrik rubriken section sections channel channels
    search suche buscar busca recherche ricerca zoeken find results archive archives archiv archivo archivio calendar kalender
    page pages seite pagina feed feeds rss atom sitemap sitemaps newsletter newsletters podcast podcasts
    """.split()  # noqa: SIM905 - words, not a list
)
_SERVICES = frozenset(
    """
    login log-in signin sign-in signup sign-up register registration registrieren logout account accounts konto mein-konto my-account
    profile settings password subscribe subscription subscriptions subscriber abo abos abonnement abonnements abonnieren suscripcion
    shop store cart checkout warenkorb donate spenden membership gift gifts
    contact kontakt contacto contatti about about-us ueber-uns uber-uns impressum imprint legal terms terms-of-service terms-of-use
    terms-and-conditions agb privacy privacy-policy datenschutz datenschutzerklaerung cookies cookie-policy cookie-settings faq
    help hilfe
    support accessibility advertise advertising mediadaten werbung jobs careers karriere stellenmarkt press presse-kontakt feedback
    wp-admin wp-login.php wp-content wp-json wp-includes cdn-cgi api static assets cgi-bin embed widget widgets share print mailto
    redirect out goto click ads ad adserver epaper e-paper app apps install weather wetter horoscope horoskop tv-programm tvprogramm
    """.split()  # noqa: SIM905 - words, not a list
)
_QUERY_LISTS = re.compile(
    r"(?:^|&)(?:s|q|query|search|suche|keyword|tag|author|sort|order|orderby|filter|replytocom|share|print|action)=", re.I
)
_QUERY_ID = re.compile(
    r"(?:^|&)(?:p|id|aid|nid|sid|artid|art_?id|article_?id|articleid|news_?id|story_?id|story|article|idnews|no)=[\w-]*\d{2,}", re.I
)
_DATE = re.compile(
    r"/(?:19|20)\d\d[/-]?(?:0?[1-9]|1[0-2]|jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)(?:[/-]?(?:0?[1-9]|[12]\d|3[01]))?(?=[/_-])",
    re.I,
)
_ONLY_DATE = re.compile(r"(?:/[a-z-]+)*/(?:19|20)\d\d(?:[/-]\d{1,2}){0,2}/?", re.I)  # an archive's day, month or year
_ID = re.compile(r"(?<!\d)\d{5,}(?!\d)|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|(?=[a-z]*\d)[0-9a-z]{10,}", re.I)
_PAGE = re.compile(r"\.(?:s?html?|php\d?|aspx?|jsp|ece|cms|story|article|do|cfm)$", re.I)
_WORDS = re.compile(r"[^\W\d_]{2,}")
_PAGED = re.compile(r"(?:^|/)(?:page|seite|pagina|p)[/-]?\d{1,6}/?$", re.I)


def is_trap(url: str) -> bool:
    """Whether following such addresses may never end: very long, very deep, a path that repeats itself, or a calendar centuries away."""
    if len(url) > 2_000:  # no browser of old and no sitemap takes more than 2,048
        return True
    segments = [s for s in urlsplit(url).path.split("/") if s]
    if len(segments) > 12:  # the deepest of 5,000 real article addresses we looked at has 9
        return True
    return _repeats(segments) or _far_calendar(url)


def _repeats(segments: list[str]) -> bool:
    """/a/b/a/b and /a/a/a: a relative link that was taken for an absolute one grows such paths for ever."""
    if any(segments.count(s) > 2 for s in set(segments)):
        return True
    return any(
        segments[i : i + length] == segments[i + length : i + 2 * length]
        for length in (2, 3)
        for i in range(len(segments) - 2 * length + 1)
    )


def _far_calendar(url: str) -> bool:
    """A year no news site has: calendars link to the month before and after, for ever."""
    years = re.findall(r"(?<![\w.])(\d{4})[-/](?:0?[1-9]|1[0-2])(?!\d)", url)
    return any(not 1700 <= int(year) <= 2100 for year in years)


def looks_like_article(url: str) -> bool:
    """Whether the address alone looks like an article's: a date, a number, a slug of words, and no word that leads to lists or forms."""
    return article_points(url) >= ARTICLE


def article_points(url: str) -> int:
    """Points for and against an article, from the address in normal form; -9 for what is certainly none."""
    parts = urlsplit(url)
    path = unquote(parts.path)
    segments = [s.lower() for s in path.split("/") if s]
    if is_other(url):
        return -9
    last = _PAGE.sub("", segments[-1]) if segments else ""
    if not last:
        return 2 if _QUERY_ID.search(parts.query) else -9
    words = len(_WORDS.findall(last))
    points = 0
    if _DATE.search(path):
        points += 2
    if _ID.search(last) or _QUERY_ID.search(parts.query):
        points += 2
    elif _ID.search(path):
        points += 1
    if words >= 4:
        points += 3
    elif words == 3:
        points += 1
    if _PAGE.search(path):
        points += 1
    return points


def is_other(url: str) -> bool:
    """A file, a form, a tag's, an author's or a day's list: what is neither article nor section whatever else the address looks like."""
    parts = urlsplit(url)
    path = unquote(parts.path)
    segments = [s.lower() for s in path.split("/") if s]
    return bool(
        _FILES.search(path)
        or _SERVICES.intersection(segments)
        or _LISTS.intersection(segments)
        or _QUERY_LISTS.search(parts.query)
        or _ONLY_DATE.fullmatch(path)
        or _PAGED.search(path)
    )
