"""What a line at the end of a body is when it is not the article: the vocabulary and shape of footers in many languages.

A rule must be true of sites in general, so each one asks for a shape (short, no sentence) besides a word.
"""

from __future__ import annotations

import re

# "Source" in the languages that news is written in. Followed by a colon, or by a name; never by the rest of a sentence.
_SOURCE = (
    r"sources?|quellen?(?:nachweis|angabe)?|fuentes?|fontes?|fonti|bron(?:nen|vermelding)?|källa|källor|kilder?|kjelde|lähde|lähteet|heimild(?:ir)?|allik(?:as|ad)|avots|avoti|"
    r"šaltini(?:s|ai)|źródł[oa]|zdroje?|izvori?|vir|forrás(?:ok)?|sursa|surse|burimi|kaynak(?:lar)?|πηγ[ήέ]ς?|источники?|джерел[оа]|крыніца|источник|извори?|"
    r"المصدر|مصدر|المصادر|منبع|منابع|ماخذ|מקור(?:ות)?|स्रोत|स्त्रोत|सूत्र|উৎস|সূত্র|ஆதாரம்|మూలం|ที่มา|nguồn|sumber|pinagmulan|chanzo|bron|来源|来源於|來源|资料来源|資料來源|"
    r"消息来源|出典|情報源|ソース|출처|자료"
)
_LABEL = re.compile(rf"^[\s*•–—\-(\[]*(?:{_SOURCE})(?:\s*(?P<mark>[:：|]|\s[\-–—/](?=\s)))?\s*(?P<rest>.*)$", re.IGNORECASE)
AGENCIES = (
    r"dpa(?:-\w+|/\w+)?|afp|reuters|ap|apa(?:-\w+)?|sda|keystone(?:-sda|-ats)?|ats|kna|epd|ots|afx|ansa|agi|adnkronos|lapresse|askanews|efe|europa press|lusa|belga|anp|"
    r"ntb|tt|ritzau|stt|pap|čtk|ctk|tasr|sita|mti|agerpres|mediafax|hina|tanjug|beta|fena|sta|bta|ana-mpa|aa|anadolu(?: ajansı| agency)?|dha|iha|tass|тасс|interfax|интерфакс|ria|"
    r"риа новости|ukrinform|укринформ|укрінформ|unian|уніан|belta|kyodo|jiji|共同|時事|xinhua|新华社|新華社|cna|中央社|yonhap|연합뉴스|newsis|뉴시스|pti|ani|ians|uni|app|bss|unb|antara|"
    r"bernama|vna|ttxvn|mena|wafa|spa|wam|bna|kuna|irna|isna|map|tap|aps|upi|bloomberg|associated press|the associated press|agence france-presse|"
    r"deutsche presse-agentur|the canadian press|aap|nzn|agence belga|agencias?|agenturen|agenzie|agences|agencies|agências|wire services?|news agencies"
)
_AGENCY_LINE = re.compile(
    rf"^[\s(\[–—\-©/]*(?:(?:with|mit|avec|con|com|met|med|из|by|von)\s+)?(?:{AGENCIES})(?:[\s/,+&.\-–—]+(?:(?:and|und|et|y|e|en|og|och|\w{{2,3}})\s+)?(?:{AGENCIES}))*[\s)\].]*$",
    re.IGNORECASE,
)
# "(dpa)", "(AFP/Reuters)", "(mkr/dpa)", "(APA, 12.1.2022)" behind the last sentence. Bounded repetition: linear.
_AGENCY_END = re.compile(
    rf"\s*[(\[](?:[\w.]{{1,5}}\s?[/,+]\s?){{0,3}}(?:{AGENCIES})(?:\s?[/,+&–-]\s?[\w.]{{1,12}}){{0,3}}(?:,\s?\d{{1,2}}\.\s?\d{{1,2}}\.\s?\d{{2,4}})?[)\]]\s*\.?$",
    re.IGNORECASE,
)
_DPA_MARK = re.compile(r"^©?\s*(?:dpa-infocom|dpa)?,?\s*dpa:[\d:/\-]+$", re.IGNORECASE)
_REPRINT = re.compile(
    r"(?:^the post .{3,200}(?:appeared|was) first (?:appeared |published )?on\b|"
    r"^(?:this|a version of this|an earlier version of this) (?:article|story|post|piece|column|text|interview|essay|report|content)\b.{0,80}\b(?:re)?(?:published|appeared|printed|posted|produced|syndicated)\b|"
    r"^the (?:article|story|post|piece|column|text|interview|essay|content) .{0,60}\b(?:first|originally) (?:published|appeared|printed|posted)\b|"
    r"(?:re)?(?:printed|published) (?:here )?with permission|republished (?:from|under|with)\b|^read the original (?:article|story|post)\b|\ball rights reserved\b|"
    r"may not be (?:published|reproduced|broadcast|copied)\b.{0,80}\b(?:permission|rewritten|redistributed|consent)\b|^copyright\s+(?:©|\(c\)|\d{4})|^©\s*(?:copyright\s*)?\d{4}\b|"
    r"^der beitrag .{3,200}erschien zuerst|(?:dieser|der) (?:artikel|text|beitrag) (?:erschien|ist|wurde) (?:zuerst|zunächst|ursprünglich|im original)\b|alle rechte vorbehalten|"
    r"nachdruck .{0,60}(?:genehmigung|verboten|gestattet)|^cet article (?:a été|est) (?:initialement |d'abord )?(?:publié|paru|republié)|tous droits réservés|"
    r"^este artículo (?:se publicó|fue publicado|apareció) (?:originalmente|por primera vez)|todos los derechos reservados|todos os direitos reservados|"
    r"^l['’]articolo .{3,200}(?:proviene da|sembra essere il primo)|tutti i diritti (?:sono )?riservati|riproduzione riservata|alle rechten voorbehouden|"
    r"wszelkie prawa zastrzeżone|все права защищены|tüm hakları saklıdır|جميع الحقوق محفوظة|版权所有|版權所有|無断転載|무단\s*전재)",
    re.IGNORECASE,
)
_READ_MORE = re.compile(
    r"^[\s>»→•*\-–—(\[]*(?:read (?:more|also|next|the full|full)|also read|see also(?=\s*[:：])|more on this|related(?: (?:articles?|stories|content|topics?|posts?))?(?=\s*[:：]|\s*$)|continue reading|lesen sie (?:auch|mehr|dazu|hier)|"
    r"mehr (?:zum thema|dazu|lesen|infos?)|weiterlesen|auch interessant|das könnte sie auch interessieren|lire (?:aussi|la suite|également)|à lire (?:aussi|également)|"
    r"lea (?:también|más)|leer más|te puede interesar|leia (?:também|mais)|leggi anche|continua a leggere|lees ook|lees (?:meer|verder)|läs (?:också|mer|även)|les (?:også|mer)|"
    r"læs (?:også|mere)|lue (?:myös|lisää)|czytaj (?:też|także|również|więcej|dalej)|čtěte (?:také|dále)|číst dál|olvass(?:a|on)? (?:tovább|el)|citește (?:și|mai)|читайте (?:также|ещё|також)|читать далее|"
    r"devamını oku|ayrıca oku|اقرأ أيضا|اقرأ المزيد|قراءة المزيد|阅读更多|相关阅读|相關閱讀|延伸閱讀|関連記事|続きを読む|관련\s*기사)(?=\W|$)",
    re.IGNORECASE,
)
_SIGN_UP = re.compile(
    r"(?:^(?:sign up|subscribe|register|join|get)\b.{0,80}\b(?:newsletters?|inbox|e-?mail|updates|alerts|channel|podcast|briefing)\b|\bnewsletter\b.{0,60}(?:abonnieren|anmelden|bestellen|sign up|subscribe|inscri\w+|suscri\w+|iscri\w+|aanmelden)|"
    r"^(?:abonnieren|melden) sie (?:sich|unseren|den|jetzt)\b|^(?:abonnez|inscrivez)-vous\b|^s['’]abonner\b|^suscr[ií]b\w+ (?:a|al)\b|^(?:assine|inscreva-se|cadastre-se)\b|^iscriviti\b|^(?:meld je|schrijf je) (?:aan|in)\b|"
    r"^prenumerera\b|^zapisz się\b|^подписывайтесь|^підписуйтесь|^(?:follow|like|join) us\b|^folgen sie uns|^suivez-nous|^síg(?:ue|a)nos|^siga-nos|^seguici|^volg ons|^takip ed|^đăng ký|^订阅|^關注|^关注我们)",
    re.IGNORECASE,
)
_PLATFORM = r"facebook|twitter|x|whatsapp|e-?mail|mail|telegram|linkedin|pinterest|reddit|pocket|flipboard|xing|messenger|threads|bluesky|mastodon|instagram|tumblr|sms|print|drucken|copy link|link kopieren|viber|vk|ok|line|tiktok|youtube"
_SHARE = re.compile(
    rf"^(?:(?:share|teilen|partager|compartir|compartilhar|condividi|delen|dela|del|jaa|udostępnij|sdílet|megosztás|distribuie|поделиться|поширити|paylaş|مشاركة|شارك|分享|シェア|공유)(?:\s+(?:this|on|via|to|in|auf|per|sur|en|su|op)\b)?[\s\w]{{0,25}}:?|"
    rf"(?:(?:{_PLATFORM})[\s,|·/•]*){{2,}})$",
    re.IGNORECASE,
)
_PHOTO = re.compile(
    r"^[\s(\[–—-]*(?:(?:title|cover|lead|featured|header|titel|aufmacher|symbol|beitrags|vorschau)?[\s-]?(?:photo(?:graph|s)?|picture|image|images|bild(?:er|nachweis|quelle|rechte)?|fotos?|foto(?:grafie|grafía|credit)?|abbildung|illustration|"
    r"crédits?(?: photos?)?|immagin[ei]|imagen|zdjęci[ea]|fot\.|kuva|фото|写真|图片|圖片|사진)(?:\s*(?:credits?|by|von|courtesy(?: of)?|source|quelle))?)\s*[:：/©]\s*\S.{0,80}$",
    re.IGNORECASE,
)
_ENDS_SENTENCE = re.compile(r"[.!?…。！？؟।]['\"”’»«)\]]*$")
_NAME_LIKE = re.compile(r"^(?:[^\W\d_]?[\w]*[\d.\-/@][\w.\-/@]*|[A-ZÀ-ÞА-ЯΑ-Ω&][\w.&'’-]*)$")
_ONLY_MARKS = re.compile(r"^[\s.·•…*_=~#|/\\–—\-+,;:°]+$")
_LONE_STOP = re.compile(r"(?<=[.!?…。\"”“’»')\]])\s+[.·•]$")
_INLINE = re.compile(r"(?<=[.!?…。\"”“’»')\]])\s+[.·•|–—]\s+(\S.{2,80})$")


def name_of(line: str, above: str = "") -> str | None:
    """Why a line at the body's end is no part of it, or None for text. `above` is the line before it."""
    line = line.strip()
    if _ONLY_MARKS.match(line) is not None:
        return "only punctuation at the end"
    if is_source_credit(line, after_stop=_ONLY_MARKS.match(above.strip()) is not None if above.strip() else False):
        return "source credit"
    if _DPA_MARK.match(line) or (len(line) <= 80 and _AGENCY_LINE.match(line)):
        return "agency credit"
    words = len(line.split())
    if words <= 60 and _REPRINT.search(line):
        return "reprint notice"
    if words <= 25 and _READ_MORE.match(line):
        return "read-more line"
    if words <= 30 and _SIGN_UP.search(line):
        return "sign-up line"
    if len(line) <= 120 and _SHARE.match(line):
        return "share line"
    return "photo credit" if words <= 14 and _PHOTO.match(line) else None


def is_source_credit(line: str, *, after_stop: bool = False) -> bool:
    """True for "source site-40", "Quelle: dpa", "Source Reuters"; false for a sentence that begins with such a word.

    With a colon or dash: up to eight words that do not end like a sentence, or up to four that do. Without: up to four words, each of them
    name-like (a capital, a digit, a dot or a hyphen in it). After a line that is nothing but a full stop: up to six words of any kind.
    """
    match = _LABEL.match(line)
    if match is None or len(line) > 120:
        return False
    rest, mark = match["rest"].strip(" )]"), match["mark"]
    if not rest:
        return mark is not None or after_stop
    if mark is None and not line[match.start("rest") - 1].isspace():
        return False  # "Sourcery", "Quellenstraße": the word only begins like the label
    words = rest.split()
    sentence = _ENDS_SENTENCE.search(rest) is not None
    if mark is not None:
        return len(words) <= (4 if sentence else 8)
    if sentence:
        return False
    return len(words) <= 6 if after_stop else len(words) <= 4 and all(_NAME_LIKE.match(word) for word in words)


def split_end(text: str, *, after_credit: bool = False) -> tuple[str, str, str] | None:
    """A credit in the same line as the last sentence: (text without it, the credit, reason), or None.

    `after_credit`: a credit line below was removed already, so a stop that stands apart goes too.
    """
    match = _INLINE.search(text)
    if match is not None and is_source_credit(match[1], after_stop=True):
        return text[: match.start()], text[match.start() :].strip(), "source credit"
    match = _AGENCY_END.search(text)
    if match is not None and match.start() > 0:
        return text[: match.start()], match.group().strip(), "agency credit"
    match = _LONE_STOP.search(text)
    if match is not None and after_credit:
        return text[: match.start()], match.group().strip(), "only punctuation at the end"
    return None
