"""Patterns of URLs, by spelling alone: articles, lists, crawler traps and files. Knows no site.

The word lists are in the languages of the measured sites. `python -m pytest tests/discovery/test_url_patterns.py` measures them.
"""

from __future__ import annotations

from urllib.parse import unquote, urlsplit, urlunsplit

from newsmill.text import lazy_re as re
from newsmill.text import urls
from newsmill.text.month_names import ENGLISH_ABBREVIATIONS

# ruff: noqa: SIM905 - word lists of quoted strings are hard to read and to extend

MIN_ARTICLE_SCORE = 2  # points from which a URL alone looks like an article's
NEVER_ARTICLE_SCORE = -9  # points that no other sign outweighs
LIST_SCORE = -1  # points that a link of five words in a heading outweighs, as no other link does

# Anywhere in a path: a list of articles follows.
_LIST_SEGMENTS = frozenset(
    """
    tag tags etiqueta etiquetas etichetta sujet sujets mot-cle keyword keywords author
    authors autor autoren autores auteur auteurs autore autori byline bylines profile profiles user users redaktion verfasser category
    categories kategorie kategorien categorie categoria categorias rubrik rubriken search suche buscar busca recherche ricerca zoeken
    sok haku find calendar kalender calendario calendrier feed feeds rss atom sitemap sitemaps
    """.split()
)

# A list, unless an article's name follows in the topic's folder: "/topics/regions/africa", but not "/themen/strom/was-der-deckel-kostet".
_TOPIC_SEGMENTS = frozenset("topic topics thema themen theme themes tema temas".split())
_MIN_TOPIC_SLUG_WORDS = 3

# Of _LIST_SEGMENTS, a name that a section of a content management system has before its own: "/category/local/".
_CATEGORY_SEGMENTS = frozenset("category categories kategorie kategorien categorie categoria categorias rubrik rubriken".split())

# Anywhere in a path: a form, a shop, a service, or a page about the publisher.
_FORM_SEGMENTS = frozenset(
    """
    login log-in signin sign-in signup sign-up register registration registrieren anmelden logout account accounts konto mein-konto
    my-account settings password subscribe subscription subscriptions subscriber abo abos abonnement abonnements abonnieren suscripcion
    assinatura shop store cart checkout warenkorb product produkt produit producto prodotto produto product-category produkt-kategorie
    categorie-produit categoria-producto categoria-prodotto categoria-produto product-tag
    donate spenden membership gift gifts coupons gutscheine codici-sconto jobs careers
    karriere stellenmarkt classifieds kleinanzeigen contact contact-us kontakt contacto contatti about-us ueber-uns uber-uns ueberuns
    impressum imprint terms terms-of-service terms-of-use terms-and-conditions termsandconditions agb nutzungsbedingungen privacy
    privacy-policy privacypolicy datenschutz datenschutzerklaerung cookies cookie-policy cookie-settings disclaimer advertise
    advertising mediadaten mediakit feedback wp-admin wp-login.php wp-content wp-json wp-includes cdn-cgi api static assets cgi-bin
    embed widget widgets mailto redirect goto click ads adserver epaper e-paper e-edition apps install accessibility sharer print
    """.split()
)

# A list or a service, unless an article's name follows: "/archive/", but not "/archive/2014/04/plato-to-plumbers/361373/".
_LIST_SEGMENTS_UNLESS_ARTICLE = frozenset(
    """
    archive archives archiv archivo archivio section sections channel channels results columnist columnists
    contributor contributors journalist journalists members member people staff team newsletter newsletters podcast podcasts about legal
    faq help hilfe support press presse weather wetter meteo horoscope horoscopes horoskop tv-programm tvprogramm games spiele puzzles
    crossword crosswords quiz live video videos gallery galleries photos fotos bilder audio by label labels
    """.split()
)

# The segment before an article's name or number.
_STORY_SEGMENTS = frozenset(
    "article articles artikel articolo articulo articulos artigo story stories news-story nota noticia noticias blog blogs post".split()
)

# The first label of host names without articles, below the domain of the site.
_SERVICE_HOST_LABELS = frozenset(
    """
    account accounts abo abos ads advertise advertising api app apps auth careers cdn classifieds community coupons discountcode
    download epaper forum forums games giftcards help idp jobs karriere kontakt konto login mail media membership my mein newsletter
    newsletters profile puzzles register search shop sso static store subscribe subscription subscriptions subscriber support tickets
    trauer wetter
    """.split()
)

_FILE_EXTENSION = re.compile(
    r"\.(?:jpe?g|png|gif|webp|avif|svg|ico|bmp|tiff?|mp[34]|m4[av]|mpe?g|mov|avi|wmv|webm|og[gv]|wav|flac|aac|m3u8?|pls|pdf|docx?|xlsx?|pptx?"
    r"|odt|ods|epub|mobi|zip|gz|tgz|bz2|xz|rar|7z|tar|exe|dmg|apk|iso|css|js|mjs|json|xml|rss|atom|txt|csv|ics|vcf|woff2?|ttf|eot|swf|map)$",
    re.I,
)
_LIST_PARAMS = re.compile(
    r"(?:^|&)(?:s|q|query|search|suche|keyword|tag|author|sort|order|orderby|filter|replytocom|cpage|paged|share|print|action)=", re.I
)
_STORY_PARAMS = re.compile(
    r"(?:^|&)(?:p|id|[an]id|sid|art_?id|article_?id|news_?id|story_?id|clip_?id|story|article|idnews|idxno|no)=[\w.-]*\d{2}", re.I
)
_MONTH = rf"(?:0?[1-9]|1[0-2]|{ENGLISH_ABBREVIATIONS})"
_DATE = re.compile(rf"/(?:19|20)\d\d[/-]?{_MONTH}(?:[/-]?(?:0?[1-9]|[12]\d|3[01]))?(?=[/_-])", re.I)
_ONLY_DATE = re.compile(r"(?:/[a-z-]{1,30}){0,3}/(?:19|20)\d\d(?:[/-]\d{1,2}){1,2}/?", re.I)  # an archive's day or month
_UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_ID = re.compile(rf"(?<!\d)\d{{5,}}(?!\d)|{_UUID}|(?<![a-z0-9])(?=[a-z]{{0,9}}\d)[0-9a-z]{{10,}}", re.I)
PAGE_EXTENSION = re.compile(r"\.(?:s?html?|php\d?|aspx?|jsp|ece|cms|story|article|do|cfm)$", re.I)
_INDEX_PAGE = re.compile(r"(?:index|home|default)(?:\.\w+)?")
_WORD = re.compile(r"[^\W\d_]{2,}")
_PAGE_NUMBER = re.compile(  # "/page/2", "/page2/", "/p/2", and "/index2.html", "/index-2.html" of static sites
    r"(?:^|/)(?:(?:comment-)?(?:page|seite|pagina)[/-]?\d{1,6}|p[/-]\d{1,3}|index[-_]?\d{1,3}\.\w{2,5})/?$", re.I
)
_COMMENTS = frozenset("comments comment kommentare comentarios commentaires commenti reacties".split())
_CALENDAR = re.compile(r"calendar|kalender|calendario|calendrier|agenda|events?|veranstaltung|archiv|termine|month|date", re.I)
_YEAR = re.compile(r"(?<![\w.-])(\d{4})(?:[/-]\d{1,2}){1,2}(?![\w.-])")


def score_article_url(url: str) -> int:
    """Points for an article by its URL in normal form; NEVER_ARTICLE_SCORE for a URL that is never an article's.

    LIST_SCORE for a page in a folder of a topic or a service, which only a headline that links to it shows to be an article.

    Of 205 articles of 140 news sites, 98 % have 2 points or more; sections and topic pages have 0 or 1.
    """
    parts = urlsplit(url)
    segments = _split_path(parts.path)
    if is_never_article(url):
        return NEVER_ARTICLE_SCORE if _is_certain_list(url, segments) else LIST_SCORE
    slug = _score_slug(segments, parts.query)
    page = 1 if segments and PAGE_EXTENSION.search(segments[-1]) else 0
    story = 1 if _STORY_SEGMENTS.intersection(segments[:-1]) else 0
    return slug + page + story


def is_never_article(url: str) -> bool:
    """Whether the URL leads to a homepage, a file, a form, or a list by topic, tag, author or day, whatever else it looks like."""
    parts = urlsplit(url)
    segments = _split_path(parts.path)
    if _is_certain_list(url, segments) or _is_topic(segments):
        return True
    return bool(_LIST_SEGMENTS_UNLESS_ARTICLE.intersection(segments)) and _score_slug(segments, parts.query) < MIN_ARTICLE_SCORE


def _is_certain_list(url: str, segments: list[str]) -> bool:
    """As `is_never_article`, for the URLs that are none even if a headline leads there. `segments`: those of the URL's path."""
    parts = urlsplit(url)
    path = unquote(parts.path)
    if not parts.query and (not segments or (len(segments) == 1 and _INDEX_PAGE.fullmatch(segments[0]))):
        return True  # a homepage
    if _FILE_EXTENSION.search(path) or _LIST_PARAMS.search(parts.query) or _ONLY_DATE.fullmatch(path) or _PAGE_NUMBER.search(path):
        return True
    names = [*segments[:-1], *(PAGE_EXTENSION.sub("", last) for last in segments[-1:])]  # "/about.html" is "/about"
    if (_LIST_SEGMENTS | _FORM_SEGMENTS).intersection(names) or names == ["404"]:
        return True
    if parts.netloc.split(".")[0] in _SERVICE_HOST_LABELS and parts.netloc.split(":")[0] != urls.find_site(url):
        return True
    if names and names[-1] in _LIST_SEGMENTS_UNLESS_ARTICLE:
        return True
    # the comments on an article, but not the section "/opinion/comments/"
    return len(segments) > 1 and segments[-1] in _COMMENTS and _score_slug(segments[:-1], "") >= MIN_ARTICLE_SCORE


def _is_topic(segments: list[str]) -> bool:
    """Whether a list of a topic is at this path: one name follows the folder of topics, or no name of several words, number or day."""
    at = next((number for number, segment in enumerate(segments) if segment in _TOPIC_SEGMENTS), None)
    if at is None:
        return False
    below = segments[at + 1 :]
    has_id = len(below) > 1 and _ID.fullmatch(below[-1]) is not None
    words = max((_count_words(segment) for segment in (below if has_id else below[1:])[-2:]), default=0)
    return words < _MIN_TOPIC_SLUG_WORDS and _DATE.search("/" + "/".join(segments)) is None


def is_category(url: str) -> bool:
    """Whether the URL is the list of a category, and nothing else that is never an article: "/category/local/", "/rubrik/kultur"."""
    parts = urlsplit(url)
    segments = _split_path(parts.path)
    if len(segments) != 2 or segments[0] not in _CATEGORY_SEGMENTS:
        return False
    return not is_never_article(urlunsplit((parts.scheme, parts.netloc, f"/{segments[1]}", parts.query, "")))


def is_crawler_trap(url: str) -> bool:
    """Whether the URL is a crawler trap: very long, very deep, a path that repeats itself, or a calendar centuries away."""
    if len(url) > 2_000:  # old browsers and sitemaps accept at most 2,048 characters
        return True
    segments = [s for s in urlsplit(url).path.split("/") if s]
    return len(segments) > 12 or _repeats_segments(segments) or _is_far_calendar(url)  # the deepest of 1,700 article URLs has 9


def _score_slug(segments: list[str], query: str) -> int:
    """Points for a date or a number, and for the words in the longer of the last two segments (an id may follow the slug)."""
    path = "/" + "/".join(segments)
    words = max((_count_words(segment) for segment in segments[-2:]), default=0)
    number = _ID.search(segments[-1]) if segments else None
    points = 2 if number or _STORY_PARAMS.search(query) else 1 if _ID.search(path) else 0
    return points + (2 if _DATE.search(path) else 0) + (3 if words >= 4 else 1 if words == 3 else 0)


def _count_words(segment: str) -> int:
    return len(_WORD.findall(PAGE_EXTENSION.sub("", segment)))


def _repeats_segments(segments: list[str]) -> bool:
    """/a/b/a/b and /a/a/a: a relative link without its "/" makes such paths grow forever."""
    if any(segments.count(s) > 2 for s in set(segments)):
        return True
    pairs = ((segments[i : i + n], segments[i + n : i + 2 * n]) for n in (2, 3) for i in range(len(segments) - 2 * n + 1))
    return any(one == other for one, other in pairs)


def _is_far_calendar(url: str) -> bool:
    """A calendar page far from the present: its links to the next and the previous month never end."""
    path = url.partition("//")[2].partition("/")[2]
    return _CALENDAR.search(path) is not None and any(not 1990 <= int(year) <= 2050 for year in _YEAR.findall(path))


def _split_path(path: str) -> list[str]:
    return [s.lower() for s in unquote(path).split("/") if s]
