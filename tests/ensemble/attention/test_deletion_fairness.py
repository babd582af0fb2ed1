"""Laws of fair deletion: removals that are alike but for the attention, and claims that
are rarely false.
"""

from __future__ import annotations

import re
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from base_models.encoders import load_encoder
from base_models.encoders.base import Piece
from ensemble.attention.deletion_table import (
    STILL,
    TOO_FEW,
    Comparison,
    Deletion,
    judged,
    summary,
)
from ensemble.attention.removal import Removal, without_words, word_weights

# what is compared


def splitter(prompt):
    """Three letters to a token, as sub-word tokenizers do with words that they do not
    know.
    """
    spans = [
        (at, min(at + 3, m.end()))
        for m in re.finditer(r"\S+", prompt)
        for at in range(m.start(), m.end(), 3)
    ]
    return [Piece(prompt[start:end], start, end) for start, end in spans]


def test_even_attention_takes_as_many_tokens_as_chance_does():
    rng, encoder, attended, random = (
        np.random.default_rng(0),
        SimpleNamespace(pieces=splitter),
        [],
        [],
    )
    for k in range(400):
        prompt = " ".join("x" * n for n in rng.integers(1, 13, rng.integers(8, 20)))
        weights = 1 + 0.01 * rng.normal(size=len(splitter(prompt)))
        _, sums, counts = word_weights(encoder, prompt, weights)
        (first, *others), _, _ = Removal(0.2, 10, 0).stretches(sums, counts, f"c{k}")
        attended.append(counts[slice(*first)].sum())
        random.append(np.mean([counts[slice(*run)].sum() for run in others]))
    assert np.mean(attended) == pytest.approx(np.mean(random), rel=0.03)


def test_random_stretches_are_never_the_attended_one():
    weights = np.array([0.1, 0.1, 0.5, 0.1, 0.1, 0.1])
    (first, *others), attended, even = Removal(0.2, 99, 0).stretches(
        weights, np.ones(6), "c"
    )
    assert (first, sorted(others)) == ((2, 3), [(0, 1), (1, 2), (3, 4), (4, 5), (5, 6)])
    assert (attended, even) == pytest.approx((0.5, 1 / 6))


def test_a_long_word_is_compared_with_the_longest_of_the_others():
    counts = np.array([1, 4, 1, 3, 1])
    (first, *others), _, _ = Removal(0.2, 10, 0).stretches(
        counts * [1, 9, 1, 1, 1], counts, "c"
    )
    assert (first, others) == ((1, 2), [(3, 4)])


# what may be said


def rows_of(changes, systems, prompts=None):
    """Rows of the table from changes (rows, clips, 2), and what is said of them."""
    names = [f"c{k}" for k in range(len(systems))]
    units = dict(zip(names, zip(systems, prompts or names, strict=True), strict=True))
    known = [
        {c: (*v, 0.3, 0.2) for c, v in zip(names, each, strict=True)}
        for each in changes
    ]
    return judged(
        [
            summary(
                Comparison(f"m{k}", "mi", "seconds"), each, units, seed=0, level=0.95
            )
            for k, each in enumerate(known)
        ],
        0.95,
    )


@pytest.mark.parametrize("systems", [2, 8, 11])
def test_attention_without_meaning_is_called_more_or_less_in_five_percent_of_trials(
    systems,
):
    rng, false = np.random.default_rng(systems), 0
    of = np.repeat(np.arange(systems), 4)
    for _ in range(150):
        scale = np.exp(rng.normal(0, 0.5, (systems, 1, 1)))[of] * 0.1
        common = rng.normal(size=(len(of), 11, 1)) * 0.5  # to the models
        moved = np.abs(
            scale * (common + rng.normal(size=(len(of), 11, 4)))
        )  # the attended one is like the random ones
        changes = np.stack([moved[:, 0], moved[:, 1:].mean(1)], axis=-1).swapaxes(0, 1)
        false += (
            rows_of(changes, of.astype(str))["verdict"].isin(["more", "less"]).any()
        )
    assert false <= stats.binom.ppf(0.99, 150, 0.05)


def test_few_systems_are_said_to_be_too_few():
    found = rows_of(np.tile([0.5, 0.1], (2, 8, 1)), list("aabbccdd"))
    assert found["verdict"].tolist() == [TOO_FEW] * 2


def test_a_score_that_hardly_moves_has_no_verdict_and_its_figures_are_told():
    found = rows_of(np.tile([0.00042, 0.0001], (1, 20, 1)), list("abcdefghij") * 2)
    assert found["verdict"].tolist() == [STILL]
    (said,) = Deletion(found, 0.2, 10, 0, (), ()).sentences()
    assert (
        "by 0.00042 [0.00042, 0.00042], random ones by 0.0001 [0.0001, 0.0001]; "
        "difference 0.00032 [" in said
    )
    assert rows_of(np.tile([0.006, 0.0001], (1, 20, 1)), list("abcdefghij") * 2)[
        "verdict"
    ].tolist() == ["more"]


def test_prompts_that_systems_share_make_the_verdict_more_cautious():
    rng = np.random.default_rng(0)
    prompt, system = np.tile(np.arange(6), 10), np.repeat(np.arange(10), 6)
    attended = (
        0.2
        + np.array([0.6, 0.5, -0.1, 0.0, 0.1, -0.1])[prompt]
        + rng.normal(0, 0.01, 60)
    )
    changes = np.stack([attended, np.full(60, 0.1)], axis=-1)[None]
    alone, shared = (
        rows_of(changes, system.astype(str), p)
        for p in (None, [f"p{k}" for k in prompt])
    )
    assert shared["p"].iloc[0] > alone["p"].iloc[0]
    assert (alone["verdict"].iloc[0], shared["verdict"].iloc[0]) == (
        "more",
        "no difference shown",
    )


# words


def test_a_word_weighs_what_its_tokens_weigh():
    encoder = load_encoder("hashed_text")
    words, weights, counts = word_weights(
        encoder, "lo-fi beats - warm!", np.array([0.1, 0.2, 0.3, 0.4])
    )
    assert words == [(0, 5), (6, 11), (14, 19)]
    np.testing.assert_allclose(weights, [0.3, 0.3, 0.4])
    assert counts.tolist() == [2, 1, 1]


def test_special_tokens_and_what_lies_beyond_the_last_token_are_no_words():
    class Cut:
        def pieces(self, prompt):
            return [
                Piece("<s>", 0, 0),
                Piece("slow", 0, 4),
                Piece("pia", 5, 8),
                Piece("</s>", 0, 0),
            ]

    words, weights, counts = word_weights(
        Cut(), "slow piano music", np.array([0.4, 0.3, 0.2, 0.1])
    )
    assert words == [(0, 4), (5, 10)]
    np.testing.assert_allclose(weights, [0.3, 0.2])
    assert counts.tolist() == [1, 1]


def test_what_is_left_of_a_prompt_reads_on():
    words = [(0, 4), (5, 11), (14, 18)]
    text = "slow piano, - soft"
    assert [without_words(text, words, k, k + 1) for k in range(3)] == [
        "piano, - soft",
        "slow soft",
        "slow piano, -",
    ]
    assert without_words(text, words, 0, 2) == "soft"
