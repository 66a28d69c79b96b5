"""Fingerprints and similarity: the same everywhere, near for what is near, nothing in common for the rest."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsmill.similarity.near_duplicates import (
    BANDS,
    BITS_PER_POINT,
    MAX_LOST_SHARE,
    MAX_TEXT_CHARACTERS,
    MIN_SHINGLES,
    POINTS_PER_BAND,
    SHINGLE_WORDS,
    count_agreeing_points,
    fingerprint,
    min_agreeing_points,
    shingles,
    similarity,
    split_words,
)


def article(seed: int, count: int = 400) -> list[str]:
    rng = random.Random(seed)
    return ["".join(rng.choices("abcdefghijklmnop", k=rng.randint(2, 9))) for _ in range(count)]


def alike(one: str, other: str) -> float:
    return similarity(shingles(one), shingles(other))


def meet(one: str, other: str, least: float = 0.7) -> bool:
    """Whether one is a candidate for the other whose text is worth reading."""
    ours, theirs = fingerprint(one), fingerprint(other)
    if ours is None or theirs is None:
        return False
    return any(a == b for a, b in zip(ours, theirs, strict=True)) and count_agreeing_points(ours, theirs) >= min_agreeing_points(least)


CHINESE = "".join(random.Random(1).choices([chr(0x4E00 + n) for n in range(2000)], k=500))
THAI = "".join(random.Random(2).choices([chr(0x0E01 + n) for n in range(46)], k=500))
NUMBERS = (534140800, 311203162, 668138105, 947790140, 319620265, 172800935)
HAN = (1041419481, 451803880, 971254965, 108954532, 391334624, 534778780)
SAME = [
    ("I’m “here” — at last…", 'I\'m "here" - at last...'),
    ("STRASSE und Straße", "Strasse und Straße"),
    ("a_b", "a b"),
    ("First.\n\nSecond", "first second"),
    ("हिन्दी में समाचार।", "हिन्दी में समाचार"),
]
TOLD_APART = [("3.5 million", "3.6 million"), ("résumé", "resume"), ("東京都の政府", "東京都の市場")]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_what_publishers_set_in_their_own_way_does_not_count(one: str, other: str) -> None:
    assert split_words(one) == split_words(other) and alike(one, other) == 1


@pytest.mark.parametrize(("one", "other"), TOLD_APART)
def test_what_is_another_word_does(one: str, other: str) -> None:
    assert alike(one, other) < 1


def test_a_fingerprint_is_these_numbers_on_every_machine_and_for_all_time() -> None:
    """Databases hold them: a change of the function needs all of them made again."""
    text = " ".join(map(str, range(100)))
    assert fingerprint(text) == NUMBERS
    program = f"import sys; from newsmill.similarity.near_duplicates import fingerprint; print(fingerprint({text!r}))"
    for seed in ("1", "2"):
        run = subprocess.run([sys.executable, "-c", program], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True)
        assert run.stdout.strip() == str(fingerprint(text)), run.stderr
    assert fingerprint("".join(map(chr, range(0x4E00, 0x4F00)))) == HAN


@given(st.text(st.characters(), max_size=400), st.integers(1, 40))
def test_any_text_has_one_or_is_too_short(text: str, times: int) -> None:
    text = text * times + "\ud800"
    found = fingerprint(text)
    assert (found is None) == (len(split_words(text)) < MIN_SHINGLES + SHINGLE_WORDS - 1)
    assert found is None or (len(found) == BANDS and all(0 <= band < 2 ** (POINTS_PER_BAND * BITS_PER_POINT) for band in found))
    assert alike(text, text) == 1


@given(st.text(max_size=200), st.text(max_size=200))
def test_similarity_is_a_share_and_has_no_direction(one: str, other: str) -> None:
    assert 0 <= alike(one, other) == alike(other, one) <= 1


@pytest.mark.parametrize("seed", range(20))
def test_one_changed_word_in_four_hundred_is_still_found(seed: int) -> None:
    original = article(seed)
    changed = [*original]
    changed[random.Random(seed).randrange(len(changed))] = "another"
    assert alike(" ".join(original), " ".join(changed)) > 0.95
    assert meet(" ".join(original), " ".join(changed))


@pytest.mark.parametrize("text", [" ".join(article(7)), CHINESE, THAI])
def test_a_copy_with_another_head_and_foot_is_found(text: str) -> None:
    copy = f"BERLIN (dpa) - {text}\n\nRead more: subscribe to our newsletter. © 2026 The Paper, all rights reserved."
    assert alike(text, copy) > 0.8 and meet(text, copy)


def test_most_pairs_that_are_alike_by_seven_tenths_are_found() -> None:
    """92 % by theory; 200 pairs, of which every fifth word of the second half is another."""
    found = 0
    for seed in range(200):
        original = article(seed)
        cut = original[: int(0.82 * len(original))] + article(seed + 1000, int(0.18 * len(original)))
        assert 0.67 < alike(" ".join(original), " ".join(cut)) < 0.73
        found += meet(" ".join(original), " ".join(cut))
    assert found >= 172


def test_texts_that_have_nothing_in_common_do_not_meet() -> None:
    texts = [" ".join(article(seed, 200)) for seed in range(60)]
    assert not any(meet(one, other) for at, one in enumerate(texts) for other in texts[:at])


def test_fingerprints_agree_in_as_many_points_as_their_texts_are_alike() -> None:
    """Of 18 points 12.6 at 0.7. The mean of 200 pairs is off by less than half a point but once in 100,000 times."""
    original = [article(seed) for seed in range(200)]
    cut = [words[: int(0.82 * len(words))] + article(seed + 1000, int(0.18 * len(words))) for seed, words in enumerate(original)]
    pairs = [(" ".join(one), " ".join(other)) for one, other in zip(original, cut, strict=True)]
    expected = BANDS * POINTS_PER_BAND * sum(alike(*pair) for pair in pairs) / len(pairs)
    assert (
        abs(sum(count_agreeing_points(fingerprint(one) or (), fingerprint(other) or ()) for one, other in pairs) / len(pairs) - expected)
        < 0.6
    )
    apart = [count_agreeing_points(fingerprint(one) or (), fingerprint(other) or ()) for one, _ in pairs[:50] for other, _ in pairs[50:100]]
    assert sum(apart) / len(apart) < 0.05  # 18 / 1,024 by chance
    assert (
        count_agreeing_points(HAN, HAN) == BANDS * POINTS_PER_BAND
        and count_agreeing_points(NUMBERS, HAN) == count_agreeing_points(HAN, NUMBERS) == 0
    )


@pytest.mark.parametrize(("least", "points"), [(0, 3), (0.3, 3), (0.5, 4), (0.6, 5), (0.7, 7), (0.8, 9), (0.9, 11), (1, 18)])
def test_how_many_points_must_agree(least: float, points: int) -> None:
    """Reckoned the long way: of all pairs that are at least as alike as requested, hardly any has a band that agrees and too few points."""
    assert min_agreeing_points(least) == points
    for alike in (least + (1 - least) * step / 20 for step in range(21)):
        lost = sum(count_ways(agree) * alike**agree * (1 - alike) ** (BANDS * POINTS_PER_BAND - agree) for agree in range(points))
        assert lost <= MAX_LOST_SHARE


def count_ways(agree: int) -> int:
    """In how many ways so many points agree and all of some band among them."""
    none = {0: 1}  # points that agree in the bands so far → number of ways in which no band agrees
    for _ in range(BANDS):
        none = {
            sum_: sum(none.get(sum_ - more, 0) * comb(POINTS_PER_BAND, more) for more in range(POINTS_PER_BAND))
            for sum_ in range(max(none) + POINTS_PER_BAND)
        }
    return comb(BANDS * POINTS_PER_BAND, agree) - none.get(agree, 0)


def test_texts_that_share_a_paragraph_are_told_apart_by_their_fingerprints() -> None:
    """A fifth of each is the same, so that of about eight in 1,000 pairs a band agrees."""
    rng, vocabulary = random.Random(1), article(1, 5000)
    met, left = 0, 0
    for _ in range(2000):
        shared = rng.choices(vocabulary, k=40)
        one, other = (fingerprint(" ".join([*rng.choices(vocabulary, k=80), *shared, *rng.choices(vocabulary, k=80)])) or () for _ in "ab")
        if any(a == b for a, b in zip(one, other, strict=True)):
            met += 1
            left += count_agreeing_points(one, other) >= min_agreeing_points(0.7)
    assert met >= 8 and left <= met / 4


def test_a_text_too_short_to_say_has_none() -> None:
    original = article(3, MIN_SHINGLES + SHINGLE_WORDS - 1)
    assert fingerprint(" ".join(original)) is not None
    assert fingerprint(" ".join(original[1:])) is None
    assert fingerprint("") is None


def test_only_the_beginning_of_a_very_long_text_is_compared() -> None:
    whole = " ".join(article(5, 40_000))
    assert fingerprint(whole) == fingerprint(whole[:MAX_TEXT_CHARACTERS])
