"""Why the block model removed a block, in words: the group of features that decided. Pure."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable

# features of block_features.py, and what they are about; those of the whole page are the same for all blocks and explain none
_REASONS = (
    (r"kept_|previous_|next_|window|before\d*_(?!last)|after\d*_(?!first)", "judged by its neighbours"),
    (r"path_|sign_|copies|like_", "judged by similar blocks on the page"),
    (r"parent_|grand_|great_|chunk_|into_|outside_|below_", "judged by the part of the page around it"),
    (r"up_|down_|since_title|title_article|article_", "judged by its distance from the headline"),
    (r"in_title|title_in|affinity|topic", "judged by the words it shares with the text"),
    (r"own_|inner_|in_", "judged by the class names around it"),
    (r"heading$|is_", "judged by its tag"),
    (r"place|after_|before_|words_|since_|h1_|heading_|depth", "judged by its position"),
    (r"page_|main_|dense_", None),
    (r"", "judged by its wording and links"),
)
_PATTERNS = tuple((re.compile(pattern), reason) for pattern, reason in _REASONS)


def describe_features(changes: Iterable[tuple[str, float]]) -> str:
    """The reason of the group with the largest total, from (name of a feature, change towards removal); "the model" without one."""
    totals: dict[str, float] = defaultdict(float)
    for name, change in changes:
        reason = next(reason for pattern, reason in _PATTERNS if pattern.match(name))
        if reason is not None and change > 0:
            totals[reason] += change
    return max(totals, key=lambda reason: totals[reason], default="the model")
