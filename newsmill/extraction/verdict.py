"""The verdict on two extracted texts of one page, without a correct text: which of them is probably better.

Both texts are aligned with the blocks of the page. The block model rates each block twice, once as the page looks if the one text is right,
and once for the other; the mean does not favour either. The rules for blocks count more than the model. What stands several times on the
page, what the site repeats, and what the page does not show is not article text. The gain is the difference of the F1 over words that these
probabilities expect of the two texts.

`benchmarks/verdict.py` measures the verdicts on gold pages that the block model has not seen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from newsmill.exceptions import DecodeError
from newsmill.extraction.body import block_model, block_rules
from newsmill.extraction.body.align import HALF, Alignment, align
from newsmill.extraction.body.block_features import compute_features
from newsmill.extraction.body.block_model import BlockModel, to_probability
from newsmill.extraction.body.blocks import DIGITS, TextBlock, split_words
from newsmill.extraction.body.layout_stats import LayoutStats
from newsmill.extraction.body.page_facts import read_facts
from newsmill.extraction.body.page_stats import PageStats
from newsmill.extraction.decode import decode_body
from newsmill.extraction.html import parse_source, prepare_html
from newsmill.extraction.metadata.json_ld import read_text
from newsmill.extraction.metadata.structured_data import StructuredData, read_structured_data
from newsmill.extraction.site_profile import apply_profile, position_evidence
from newsmill.model import Judgement, Page, Profile, Verdict
from newsmill.text.charset import to_utf8
from newsmill.text.sentences import Sentence

MIN_GAIN = 0.004  # of the expected F1; a smaller one is below what the probabilities can tell
MANY_BLOCKS = 10_000  # blocks of a page; more take seconds
MIN_REPEATS = 3  # places of a page that make a run of words boilerplate
RUN_WORDS = 4
MIN_BODY_WORDS = 50  # words of an articleBody; a shorter one is a summary
BODY_ODDS = 1.0  # log-odds for a block that the articleBody contains; as much against one that it lacks
DISPUTED_ODDS = 0.5  # log-odds for a block that only one text has: an extractor kept it, and such blocks are text more often than rated
MIN_DISPUTED_SHARE = 0.3  # of a block
SITE_TEXT, SITE_REPEATED = 0.98, 0.02  # probability of a block that the site profile knows
RULE_TEXT, RULE_OTHER = 0.95, 0.05  # at least or at most, of a block that a rule restores or removes
MIN_WORDS = 3  # of a reason

Run = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RatedBlock:
    """A block of the page: the share of it that each text contains, and the probability that it is article text."""

    words: int
    before: float
    after: float
    probability: float
    note: str = ""  # "repeated" or "site": what else than the model decided


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of two texts. The surplus: words of a text that the page does not show, or not so often."""

    blocks: tuple[RatedBlock, ...]
    surplus_before: float = 0.0
    surplus_after: float = 0.0


def judge(page: Page, before: str, after: str, profile: Profile | None = None, model: BlockModel | None = None) -> Verdict:
    """Return the verdict on the text `after` in place of `before`. `model` None selects the shipped one."""
    if split_words(before) == split_words(after):
        return Verdict(Judgement.EQUAL)
    pages = [structured for one in (page, *page.parts) if (structured := _read_page(one.as_rendered())) is not None]
    if not pages:
        return Verdict(Judgement.EQUAL, reasons=(Sentence("the page cannot be compared with the texts"),))
    runs = Counter(run for one in pages for block in one.marks.layout.blocks for run in _list_runs(block.words))
    blocks: list[RatedBlock] = []
    covered = [0.0, 0.0]
    for one in pages:
        alignments = [align(text.split("\n"), one.marks.layout.blocks) for text in (before, after)]
        covered = [share + alignment.covered for share, alignment in zip(covered, alignments, strict=True)]
        blocks += _rate_blocks(one, alignments, profile, model or block_model.load_shipped_model())
    surplus = [_count_surplus(text, share, runs) for text, share in zip((before, after), covered, strict=True)]
    return weigh(Evidence(tuple(blocks), surplus[0], surplus[1]))


def _read_page(page: Page) -> StructuredData | None:
    try:
        html = decode_body(page.header("Content-Encoding"), page.body)
    except DecodeError:
        return None
    tree = parse_source(prepare_html(to_utf8(html, page.header("Content-Type")))).tree
    if tree is None:
        return None
    structured = read_structured_data(tree, page.url)
    return structured if 0 < len(structured.marks.layout.blocks) <= MANY_BLOCKS else None


def _list_runs(words: Sequence[str]) -> Iterator[Run]:
    """Yield each run of RUN_WORDS words; a shorter text is one run."""
    return (tuple(words[at : at + RUN_WORDS]) for at in range(max(bool(words), len(words) - RUN_WORDS + 1)))


def _count_surplus(text: str, covered: float, runs: Counter[Run]) -> float:
    """Return the words of a text that the page does not show, and those that the text has more often than the page."""
    lines = [split_words(line) for line in text.split("\n")]
    own = Counter(run for line in lines for run in _list_runs(line))
    repeated = sum(min(n, n - runs[run]) for run, n in own.items() if 0 < runs[run] < n)
    return sum(map(len, lines)) * (max(0.0, 1 - covered) + repeated / max(1, own.total()))


def _rate_blocks(page: StructuredData, alignments: Sequence[Alignment], profile: Profile | None, model: BlockModel) -> Iterator[RatedBlock]:
    layout = page.marks.layout
    stats = LayoutStats(layout, read_facts(page))
    views = [PageStats(stats, stats.clear_comments(alignment.shares)) for alignment in alignments]
    before, after = (alignment.shares for alignment in alignments)
    near = {i for view in views for i in view.find_near_blocks()}
    chosen = [block for block in layout.blocks if block.words and (block.index in near or before[block.index] or after[block.index])]
    places = [block.index for block in chosen]
    odds = [model.compute_odds(model.make_rows(compute_features(view, places))) for view in views] if chosen else [[], []]
    kept = [frozenset(i for i in places if view.shares[i] >= HALF) for view in views]
    restored = {i for view, known in zip(views, kept, strict=True) for i in block_rules.find_restored(view, places, known)}
    refused = {i for view, known in zip(views, kept, strict=True) for i in block_rules.find_refused(view, known)}
    repeats = _measure_repeats(layout.blocks)
    body = _read_body(page)
    for block, *both in zip(chosen, *odds, strict=True):
        is_disputed = abs(after[block.index] - before[block.index]) > MIN_DISPUTED_SHARE
        rated = sum(both) / 2 + BODY_ODDS * _compare_with_body(block, body) + DISPUTED_ODDS * is_disputed
        probability = to_probability(rated) * (1 - repeats[block.index])
        if block.index in restored:
            probability = max(probability, RULE_TEXT)
        if block.index in refused:
            probability = min(probability, RULE_OTHER)
        note = "repeated" if repeats[block.index] >= HALF else ""
        if profile is not None and (known := _ask_profile(profile, block)) is not None:
            probability, note = known, "site"
        yield RatedBlock(len(block.words), before[block.index], after[block.index], probability, note)


def _measure_repeats(blocks: Sequence[TextBlock]) -> list[float]:
    """Return for each block the share of its runs that stand MIN_REPEATS times on the page; digits do not count."""
    masked = [list(_list_runs([DIGITS.sub("0", word) for word in block.words])) for block in blocks]
    places = Counter(run for runs in masked for run in set(runs))
    return [sum(places[run] >= MIN_REPEATS for run in runs) / len(runs) if runs else 0.0 for runs in masked]


def _read_body(page: StructuredData) -> frozenset[Run]:
    """Return the runs of the article's body in JSON-LD; empty if there is none, or only a summary."""
    text = read_text(page.article.get("articleBody")) if page.article else None
    words = split_words(text or "")
    return frozenset(_list_runs(words)) if len(words) >= MIN_BODY_WORDS else frozenset()


def _compare_with_body(block: TextBlock, body: frozenset[Run]) -> float:
    """Return 1 for a block that the JSON-LD contains, -1 for one that it lacks, 0 if it has no body or the block is short."""
    if not body or len(block.words) < RUN_WORDS:
        return 0.0
    runs = list(_list_runs(block.words))
    return 2 * sum(run in body for run in runs) / len(runs) - 1


def _ask_profile(profile: Profile, block: TextBlock) -> float | None:
    """Return the probability that the site profile gives a block; None if it does not know it."""
    if profile.pages < position_evidence.MATURE_PAGES:
        return None
    if position_evidence.is_sure_text(profile, block.path, block.text):
        return SITE_TEXT
    if position_evidence.is_removed_position(profile, block.path):
        return SITE_REPEATED
    is_repeated = all(apply_profile.find_line_reason(profile, block.path, line, ending=False) for line in block.text.split("\n"))
    return SITE_REPEATED if is_repeated else None


def weigh(evidence: Evidence) -> Verdict:
    """Return the verdict that the evidence gives. An exchange of the two texts changes only the sign."""
    blocks = evidence.blocks
    gain = _expect_f1([(block, block.after) for block in blocks], evidence.surplus_after) - _expect_f1(
        [(block, block.before) for block in blocks], evidence.surplus_before
    )
    if abs(gain) < MIN_GAIN:
        return Verdict(Judgement.EQUAL, round(gain, 3))
    return Verdict(Judgement.BETTER if gain > 0 else Judgement.WORSE, round(gain, 3), tuple(_list_reasons(evidence, gain > 0)))


def _expect_f1(shares: Iterable[tuple[RatedBlock, float]], surplus: float) -> float:
    kept, right, both = surplus, 0.0, 0.0
    for block, share in shares:
        kept += block.words * share
        right += block.words * block.probability
        both += block.words * share * block.probability
    return 2 * both / (kept + right) if kept + right else 0.0


def _list_reasons(evidence: Evidence, is_better: bool) -> Iterator[Sentence]:
    """Yield what speaks for the verdict, the most words first."""
    words: Counter[str] = Counter()
    for block in evidence.blocks:
        change = block.words * (block.after - block.before)
        is_gain = (change > 0) == (block.probability >= HALF)
        if is_gain == is_better:
            kind = "text" if block.probability >= HALF else block.note or "other"
            words[f"{kind} {'added' if change > 0 else 'removed'}"] += round(abs(change))
    more = evidence.surplus_after - evidence.surplus_before
    if (more < 0) == is_better:
        words[f"surplus {'added' if more > 0 else 'removed'}"] += round(abs(more))
    for key, n in words.most_common():
        if n >= MIN_WORDS:
            yield make_reason(key, n)


def make_reason(key: str, n: int) -> Sentence:
    """Return the reason of that kind for `n` words."""
    reasons = {
        "text added": Sentence("adds {n:,} words that are probably article text", n=n),
        "text removed": Sentence("loses {n:,} words that are probably article text", n=n),
        "other added": Sentence("adds {n:,} words that are probably not article text", n=n),
        "other removed": Sentence("drops {n:,} words that are probably not article text", n=n),
        "repeated added": Sentence("adds {n:,} words that stand several times on the page", n=n),
        "repeated removed": Sentence("drops {n:,} words that stand several times on the page", n=n),
        "site added": Sentence("adds {n:,} words that stand on other pages of the site", n=n),
        "site removed": Sentence("drops {n:,} words that stand on other pages of the site", n=n),
        "surplus added": Sentence("adds {n:,} words that the page does not show, or not so often", n=n),
        "surplus removed": Sentence("drops {n:,} words that the page does not show, or not so often", n=n),
    }
    return reasons[key]
