"""Query parameters and path parts that say who clicked, never what is shown."""

from __future__ import annotations

import re

# Campaign parameters come in families: Google (utm_), Matomo (mtm_, pk_, piwik_), Piano (at_), Hubspot (hsa_, __hs), Facebook (fb_).
_FAMILIES = ("utm_", "mtm_", "pk_", "piwik_", "at_campaign", "at_medium", "at_custom", "at_ptr", "at_link", "hsa_", "__hs", "fb_")

# The union of what miniflux, courlan, Brave and Firefox strip, as far as it has no second meaning on news sites.
_TRACKING = frozenset(
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

_SESSION = re.compile(r"(?:j|php|asp|bv_?)?sess(?:ion)?_?id|aspsessionid[a-z]*|cfid|cftoken|oscsid|zenid|sid", re.I)
_LONG_TOKEN = re.compile(r"[0-9a-z_-]{16,}", re.I)  # a bare `sid` with a shorter value may be a story's id
# `;jsessionid=…` after a name, and ASP.NET's `(S(…))` segment. Not after "." or "/": what is left must never become a dot segment.
_PATH_SESSION = re.compile(r"(?<![/.])(?:;(?:jsessionid|phpsessid|sessionid|sid)=[^/;?#]*)+", re.I)
_ASPNET_SESSION = re.compile(r"/\([asf]\([0-9a-z_-]{8,}\)\)(?=/)", re.I)


def is_tracking(name: str, value: str) -> bool:
    """Whether a query parameter (as written in the URL) only tracks the reader or names a session."""
    name = name.lower()
    if name in _TRACKING or name.startswith(_FAMILIES):
        return True
    if name == "ref":  # Ghost and many sites write the referring site or page section; digits without a dot may be a real reference number
        return "." in value or not any(c.isdigit() for c in value)
    return _SESSION.fullmatch(name) is not None and (name != "sid" or _LONG_TOKEN.fullmatch(value) is not None)


def without_session(path: str) -> str:
    """The path without session ids written into it."""
    if "=" in path:
        path = _PATH_SESSION.sub("", path)
    return _ASPNET_SESSION.sub("", path) if "/(" in path else path
