"""URLs as Newsmill knows them: one normal form that is fetched, one key that identifies it, its host and its site. No network, no clock."""

from __future__ import annotations

import re
from functools import cache, lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple

import ada_url

from newsmill.exceptions import UrlError
from newsmill.text.redaction import redact
from newsmill.text.sentences import Sentence

if TYPE_CHECKING:
    import tldextract

__all__ = [
    "MAX_URL_CHARACTERS",
    "get_host",
    "get_profile_site",
    "get_site",
    "make_key",
    "make_spider_host",
    "make_spider_key",
    "make_spider_url",
    "normalize",
]

SPIDER_SCHEME = "spider:"
SPIDER_HOST_PREFIX = "spider/"
MAX_URL_CHARACTERS = 8_000  # RFC 9110 section 4.1 asks servers to take at least 8,000 octets, and no article needs more

_SURROGATE = re.compile("[\ud800-\udfff]")
# A percent-encoded unreserved character (RFC 3986 section 2.3). Not after "%" or "%x": decoding there would complete another
# escape, and the result would not be stable.
_PERCENT_ESCAPE = re.compile(r"(?<!%)(?<!%[0-9A-Fa-f])%([0-9A-Fa-f]{2})")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_STRAY_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_SLASHES = re.compile(r"/{2,}")
_IP_ADDRESS = re.compile(r"[\d.]+|\[.*\]")
# Characters that RFC 3986 allows in no path and no query, and that browsers send as written: "|", "^", "[", "]", "`", "{", "}", "\\".
_DISALLOWED = re.compile(r"[^A-Za-z0-9._~!$&'()*+,;=:@/?%-]")

# Campaign parameters come in families: Google (utm_), Matomo (mtm_, pk_, piwik_), Piano (at_), Hubspot (hsa_, __hs), Facebook (fb_).
_TRACKING_PREFIXES = (
    *("utm_", "mtm_", "pk_", "piwik_", "hsa_", "__hs", "fb_"),
    *("at_campaign", "at_medium", "at_custom", "at_ptr", "at_link"),
)
# The union of what miniflux, courlan, Brave and Firefox strip, as far as it has no second meaning on news sites.
_TRACKING_PARAMETERS = frozenset(
    """
    fbclid gclid gclsrc dclid gbraid wbraid srsltid yclid ysclid twclid msclkid ttclid li_fat_id igshid igsh epik
    _openstat _ga _gl ga_source ga_medium ga_campaign ga_content ga_term _hsenc _hsmi hsctatracking mkt_tok mkcid mkevt mkrid
    campaign_id campaign_medium campaign_name campaign_source campaign_term campaign_content
    hmb_campaign hmb_medium hmb_source itm_campaign itm_medium itm_source itm_content itm_term
    mc_cid mc_eid mc_tc wickedid rb_clickid oly_anon_id oly_enc_id vero_id vero_conv sc_cid s_cid sc_campaign sc_channel
    _bhlid bhlid _branch_match_id _branch_referrer __readwiselocation guccounter guce_referrer guce_referrer_sig
    ns_campaign ns_mchannel ns_source ns_linkname ns_fee xtor wt_mc wt.mc_id wtmc wt_zmc ocid cmpid cmp_id cmpsrc ncid icid int_cid ito
    iref srcref cx_part cx_position rfextension arkpromo at_format ref_src ref_url ref_source refsrc _ref
    soc_src soc_trk smid smtyp partner_id tduid wprov amp_js_v usqp __twitter_impression
    share_id share_source sharetype spm scm trk trkcampaign echobox ftag ftcamp dicbo link_source taid cvid fromrss from_rss
    """.split()  # noqa: SIM905 - a hundred quoted words are harder to read and to compare
)
_SESSION_PARAMETER = re.compile(r"(?:j|php|asp|bv_?)?sess(?:ion)?_?id|aspsessionid[a-z]*|cfid|cftoken|oscsid|zenid|sid", re.I)
_LONG_TOKEN = re.compile(r"[0-9a-z_-]{16,}", re.I)  # a bare `sid` with a shorter value may be a story's id
_SESSION_SUFFIX = r"(?:;(?:jsessionid|phpsessid|sessionid|sid)=[^/;?#]*)+"
# `;jsessionid=…` after a name, or as a whole segment. Not after ".": the rest must never become a dot segment.
_PATH_SESSION = re.compile(rf"(?<![/.]){_SESSION_SUFFIX}|(?<=/){_SESSION_SUFFIX}(?:/|$)", re.I)
_ASPNET_SESSION = re.compile(r"/\((?:[asf]\([0-9a-z_-]{8,}\))+\)(?=/)", re.I)  # `/(S(…))/`, `/(A(…)S(…))/`


class _Parts(NamedTuple):
    scheme: str  # "http:" or "https:"
    name: str  # host name, lower case, punycode
    port: str  # "" for the scheme's default port
    path: str
    params: tuple[str, ...]  # "name=value" as written, without tracking parameters, in their order

    @property
    def host(self) -> str:
        return f"{self.name}:{self.port}" if self.port else self.name

    @property
    def url(self) -> str:
        return f"{self.scheme}//{self.host}{self.path}{'?' if self.params else ''}{'&'.join(self.params)}"


def normalize(url: str, base: str | None = None) -> str:
    """The absolute http(s) URL that is fetched, parsed as browsers do (WHATWG URL), resolved against `base`. Idempotent.

    Removes the fragment, credentials, the scheme's default port, tracking parameters and session ids.
    IPv4 in any spelling (0x7f.1, 2130706433, full-width digits) becomes four decimal numbers.
    Raises UrlError unless the result is an http(s) URL with a usable host and at most 8,000 characters, before and after percent-encoding.
    No function of this module raises for a URL that this function returned.
    """
    return _parse(url, base).url


def find_normal(url: str, base: str | None = None) -> str | None:
    """As `normalize`; None for a text that is not a URL."""
    try:
        return normalize(url, base)
    except UrlError:
        return None


@lru_cache(maxsize=1024)  # as `_parse`
def make_key(url: str) -> str:
    """The identity of a URL in the ledger and of a document: 32 hex characters (BLAKE2b, 16 bytes) of its normal form.

    Raises UrlError. The key ignores differences that change no response:
    - the scheme, a leading "www.", a trailing or doubled slash;
    - the order of parameters, and parameters without a name;
    - "+" against "%20" in the query;
    - whether a character that RFC 3986 forbids ("|", "^", "[", "`") is percent-encoded.
    """
    parts = _parse(url, None)
    host = parts.host
    if host.startswith("www.") and "." in host[4:]:
        host = host[4:]
    path = _SLASHES.sub("/", parts.path).rstrip("/")
    params = sorted(_encode_disallowed(param).replace("+", "%20").removesuffix("=") for param in parts.params if param[0] != "=")
    text = _STRAY_PERCENT.sub("%25", f"{host}{_encode_disallowed(path)}?{'&'.join(params)}")
    return blake2b(text.encode(), digest_size=16).hexdigest()


def make_spider_url(source: str) -> str:
    """The URL of the runs of a source's spider in the ledger: "spider:paper". It is never fetched, and no http(s) URL equals it."""
    return f"{SPIDER_SCHEME}{source}"


def make_spider_key(url: str) -> str:
    """The key of a URL of `make_spider_url`. It has a colon, which no key of an http(s) URL has."""
    return SPIDER_SCHEME + blake2b(url.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def make_spider_host(source: str) -> str:
    """The host under which the runs of a source's spider are leased. It has a slash, which no host of an http(s) URL has."""
    return f"{SPIDER_HOST_PREFIX}{source}"


def get_host(url: str) -> str:
    """The host, with the port unless it is the scheme's default: the unit of politeness and of leases. Raises UrlError."""
    return _parse(url, None).host


def get_site(url: str) -> str:
    """The registered domain ("bbc.co.uk"); an IP address or a name without a public suffix is its own site. Raises UrlError."""
    parts = _parse(url, None)
    return _find_registered_domain(parts.name) or parts.host


def find_site(url: str) -> str | None:
    """As `get_site`; None for a text that is not a URL."""
    try:
        return get_site(url)
    except UrlError:
        return None


def has_public_suffix(url: str) -> bool:
    """Whether the host is below a public suffix (Public Suffix List): "bbc.co.uk", but not "co.uk" or "printer.lan". Raises UrlError."""
    name = _parse(url, None).name
    return not _IP_ADDRESS.fullmatch(name) and bool(_load_public_suffixes()(name).top_domain_under_public_suffix)


def get_profile_site(url: str) -> str:
    """The site whose profile a page is read with: the host without "www."; "" for a page without a URL.

    Not the registered domain: m.paper.example and blog.paper.example have layouts of their own.
    """
    try:
        return get_host(url).removeprefix("www.")
    except UrlError:
        return ""


@lru_cache(maxsize=1024)  # the ledger needs normal form, key and host of each link, mostly of the same text; an import of 500 at a time
def _parse(url: str, base: str | None) -> _Parts:
    if len(url) > MAX_URL_CHARACTERS:
        raise UrlError(Sentence("longer than {n:,} characters", n=MAX_URL_CHARACTERS))
    try:
        parsed = ada_url.URL(_replace_surrogates(url), base=None if base is None else _replace_surrogates(base))
    except ValueError:
        raise UrlError(Sentence("not a URL: {url}", url=_quote(url))) from None
    scheme = str(parsed.protocol)
    if scheme not in ("http:", "https:"):
        raise UrlError(Sentence("not an http(s) URL: {url}", url=_quote(url)))
    path = _remove_session_ids(_decode_unreserved(str(parsed.pathname)))
    parts = _Parts(scheme, _check_host_name(str(parsed.hostname)), str(parsed.port), path, _keep_params(str(parsed.search)))
    if len(parts.url) > MAX_URL_CHARACTERS:
        raise UrlError(Sentence("longer than {n:,} characters when percent-encoded", n=MAX_URL_CHARACTERS))
    return parts


def _quote(url: str) -> str:
    return repr(redact(url)[:200])


def _replace_surrogates(text: str) -> str:
    """A lone surrogate cannot be encoded; WHATWG's USVString puts U+FFFD in its place."""
    return _SURROGATE.sub("\ufffd", text)


def _check_host_name(name: str) -> str:
    """The host without the root's dot. Raises UrlError for an empty label and for more than 253 characters (RFC 1035)."""
    name = name.removesuffix(".")
    if not name or ".." in name or name[0] == "." or name[-1] == "." or len(name) > 253:
        raise UrlError(Sentence("not a host name: {name}", name=repr(name[:200])))
    return name


def _decode_unreserved(text: str) -> str:
    """Decodes escapes of unreserved characters and writes all others in upper case: equivalent by RFC 3986 section 6.2.2."""
    return _PERCENT_ESCAPE.sub(_decode_escape, text) if "%" in text else text


def _decode_escape(match: re.Match[str]) -> str:
    char = chr(int(match[1], 16))
    return char if char in _UNRESERVED else match[0].upper()


def _encode_disallowed(text: str) -> str:
    return _DISALLOWED.sub(lambda char: f"%{ord(char[0]):02X}", text)


def _keep_params(search: str) -> tuple[str, ...]:
    """The parameters that select what is shown. An "amp;" before a name comes from HTML that was escaped twice."""
    kept = []
    for param in _decode_unreserved(search[1:]).split("&"):
        while param.startswith("amp;"):
            param = param[4:]
        name, _, value = param.partition("=")
        if param and not _is_tracking_parameter(name, value):
            kept.append(param)
    return tuple(kept)


def _is_tracking_parameter(name: str, value: str) -> bool:
    """Whether a query parameter (as written in the URL) only tracks the reader or names a session."""
    name = name.lower()
    if name in _TRACKING_PARAMETERS or name.startswith(_TRACKING_PREFIXES):
        return True
    if name == "source":  # Medium: "rss-8f3c2d1e0b------2", "user_profile_page---------0----"
        return "---" in value
    if name == "ref":  # Ghost and many sites write the referring site or page section; digits without a dot may be a real reference number
        return "." in value or not any(c.isdigit() for c in value)
    return _SESSION_PARAMETER.fullmatch(name) is not None and (name != "sid" or _LONG_TOKEN.fullmatch(value) is not None)


def _remove_session_ids(path: str) -> str:
    if "=" in path:
        path = _PATH_SESSION.sub("", path)
    return _ASPNET_SESSION.sub("", path) if "/(" in path else path


@lru_cache(maxsize=65_536)
def _find_registered_domain(name: str) -> str:
    """The registered domain of a host name, or "" where there is none. An unknown ending is a public suffix, by the list's rule "*"."""
    if _IP_ADDRESS.fullmatch(name) or "." not in name:
        return ""
    parts = _load_public_suffixes()(name)
    return parts.top_domain_under_public_suffix or ("" if parts.suffix else ".".join(name.split(".")[-2:]))


@cache
def _load_public_suffixes() -> tldextract.TLDExtract:
    """The Public Suffix List as shipped with tldextract: never fetched, and with its private part (a blog host's blogs are sites)."""
    import tldextract  # here, because it imports requests and urllib3: 0.15 s of CPU that most commands need not spend

    return tldextract.TLDExtract(cache_dir=None, suffix_list_urls=(), include_psl_private_domains=True)
