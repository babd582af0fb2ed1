"""Bradley-Terry scores: what the slow way finds, and what votes cannot say is said."""

import csv

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from base_models.clips.labels import labels_onto
from base_models.clips.listening_tests.bradley_terry import (
    MAX_ITEMS,
    BradleyTerry,
    Votes,
    encode,
)
from base_models.clips.listening_tests.rating_options import RatingOptions
from base_models.clips.listening_tests.read_listening_test import read_listening_test
from base_models.clips.ratings import find_ratings, read_ratings
from base_models.clips.read_clips import read_clips
from base_models.errors import UsageError


def write(path, names, rows):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([names, *rows])
    return path


def simulated(n_votes, n_items=5, ties=True, seed=0):
    random = np.random.default_rng(seed)
    truth = np.linspace(-1, 1, n_items)
    pairs = np.array([random.choice(n_items, 2, replace=False) for _ in range(n_votes)])
    first, second = pairs.T
    odds = np.stack([truth[first], truth[second], (truth[first] + truth[second]) / 2])
    if not ties:
        odds = odds[:2]
    powers = np.exp(odds)
    draws = random.random(n_votes) < np.cumsum(powers / powers.sum(0), axis=0)
    outcome = np.array([1, -1, 0])[draws.argmax(axis=0)]
    return Votes(first, second, outcome, n_items), truth


def slow_scores(votes):
    """Davidson's model vote by vote, by a search without derivatives."""

    def unlikely(parameters):
        scores = np.append(parameters[:-1], -parameters[:-1].sum())
        total = 0.0
        for a, b, outcome in zip(votes.first, votes.second, votes.outcome, strict=True):
            win, loss = np.exp(scores[a]), np.exp(scores[b])
            tie = np.exp(parameters[-1]) * np.sqrt(win * loss)
            chosen = {1: win, -1: loss, 0: tie}[int(outcome)]
            total -= np.log(chosen / (win + loss + tie))
        return total

    found = minimize(unlikely, np.zeros(votes.n_items), method="BFGS").x
    return np.append(found[:-1], -found[:-1].sum()), found[-1]


# ---- the model


def test_scores_are_those_of_largest_likelihood():
    votes, _ = simulated(120)
    fitted = BradleyTerry.fit(votes)
    scores, tie = slow_scores(votes)
    np.testing.assert_allclose(fitted.logits, scores, atol=1e-4)
    assert fitted.tie == pytest.approx(tie, abs=1e-4)
    assert not fitted.is_regularised
    assert fitted.logits.sum() == pytest.approx(0, abs=1e-9)


def test_two_items_have_the_share_of_wins_as_odds_with_its_known_error():
    votes, _ = encode(["a"] * 30, ["b"] * 30, [1] * 20 + [-1] * 10)
    fitted = BradleyTerry.fit(votes)
    difference = fitted.logits[0] - fitted.logits[1]
    assert difference == pytest.approx(np.log(2))
    assert fitted.tie is None
    # The variance of log-odds is 1/20 + 1/10, that of half of them a quarter.
    assert fitted.errors == pytest.approx(np.sqrt((1 / 20 + 1 / 10) / 4))


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    hits = []
    for seed in range(60):
        votes, truth = simulated(200, seed=seed)
        low, high = BradleyTerry.fit(votes).interval()
        shares = 1 / (1 + np.exp(-truth))
        hits.append((low <= shares) & (shares <= high))
    assert 0.9 < np.mean(hits) < 0.99


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), ties=st.booleans(), n=st.integers(1, 40))
def test_turning_every_vote_round_turns_the_scores(seed, ties, n):
    votes, _ = simulated(n, ties=ties, seed=seed)
    fitted = BradleyTerry.fit(votes)
    swapped = Votes(votes.second, votes.first, -votes.outcome, votes.n_items)
    np.testing.assert_allclose(
        BradleyTerry.fit(swapped).logits, fitted.logits, atol=1e-5
    )
    turned = Votes(votes.first, votes.second, -votes.outcome, votes.n_items)
    np.testing.assert_allclose(
        BradleyTerry.fit(turned).logits, -fitted.logits, atol=1e-5
    )
    assert np.isfinite(fitted.logits).all()
    assert np.isfinite(fitted.errors).all()
    low, high = fitted.interval()
    assert ((low <= fitted.scores) & (fitted.scores <= high)).all()


def test_an_item_that_wins_all_votes_has_a_finite_score_near_the_top():
    votes, _ = encode(["a", "a", "b", "c"], ["b", "c", "c", "b"], [1, 1, 1, 1])
    fitted = BradleyTerry.fit(votes)
    assert fitted.is_regularised
    assert fitted.scores[0] > fitted.scores[1:].max()
    assert fitted.scores[0] < 1
    assert fitted.groups.max() == 0


def test_ties_alone_make_all_equal():
    votes, _ = encode(["a", "b"], ["b", "c"], [0, 0])
    fitted = BradleyTerry.fit(votes)
    np.testing.assert_allclose(fitted.scores, 0.5, atol=1e-6)


def test_items_that_were_never_compared_are_groups_of_equal_average():
    votes, _ = encode(["a", "b", "c", "d"], ["b", "a", "d", "c"], [1, 1, 1, 1])
    fitted = BradleyTerry.fit(votes)
    assert len(set(fitted.groups)) == 2
    np.testing.assert_allclose(fitted.scores, 0.5, atol=1e-6)


def test_too_many_items_are_refused():
    none = np.zeros(0, dtype=int)
    with pytest.raises(UsageError, match=rf"2\.\.{MAX_ITEMS} items"):
        BradleyTerry.fit(Votes(none, none, none, MAX_ITEMS + 1))


# ---- tables of votes

PAIRS = [("p.wav", "q.wav", 1), ("q.wav", "r.wav", 1), ("r.wav", "p.wav", -1)]
PAIRS += [("q.wav", "p.wav", 1), ("r.wav", "q.wav", 1), ("p.wav", "r.wav", 0)]
WORDS = {
    "letters": ("a", "b", "tie"),
    "sides": ("Left", "RIGHT", "equal"),
    "numbers": ("1", "2", "0"),
    "arena": ("model_a", "model_b", "tie (bothbad)"),
}


@pytest.mark.parametrize("words", WORDS)
def test_winners_are_understood_in_the_usual_words(words, tmp_path):
    win, loss, tie = WORDS[words]
    spelled = {1: win, -1: loss, 0: tie}
    rows = [(a, b, spelled[outcome]) for a, b, outcome in PAIRS]
    names = {
        "letters": ("audio_a", "audio_b", "winner"),
        "sides": ("left", "right", "Preference"),
        "numbers": ("clip 1", "clip 2", "choice"),
        "arena": ("model_a", "model_b", "winner"),
    }[words]
    path = write(tmp_path / "v.csv", names, rows)
    clips = read_clips(path)
    votes, items = encode(*zip(*PAIRS, strict=True))
    scores = dict(zip(items, BradleyTerry.fit(votes).scores, strict=True))
    names = [name.removesuffix(".wav") for name in clips["clip_id"]]
    found = {f"{n}.wav": x for n, x in zip(names, clips["preference"], strict=True)}
    assert found == pytest.approx(scores, abs=1e-6)
    assert clips.attrs["scales"] == {"preference": [0, 1]}
    mapped = labels_onto(clips)["preference"]
    np.testing.assert_allclose(mapped, 1 + 4 * clips["preference"])
    assert find_ratings(path) is None


def test_winners_may_be_named_and_losers_stand_beside_them(tmp_path):
    named = [(a, b, a if outcome > 0 else b) for a, b, outcome in PAIRS if outcome]
    first = read_clips(write(tmp_path / "v.csv", ["a", "b", "winner"], named))
    pairs = [(a, b) if outcome > 0 else (b, a) for a, b, outcome in PAIRS if outcome]
    second = read_clips(write(tmp_path / "w.csv", ["winner", "loser"], pairs))
    one = first.set_index("clip_id")["preference"]
    np.testing.assert_allclose(
        one, second.set_index("clip_id")["preference"][one.index]
    )


def test_it_is_said_that_it_is_a_bradley_terry_score_and_of_what(tmp_path):
    rows = [("a", "b", "a"), ("c", "d", "tie"), ("a", "b", "")]
    test = read_listening_test(write(tmp_path / "v.csv", ["a", "b", "winner"], rows))
    notes = " | ".join(test.notes)
    assert "Bradley-Terry score of 4 clips (1 ties, by Davidson's model)" in notes
    assert "1 rows without a verdict" in notes
    assert "2 groups of clips that were never compared" in notes
    assert "half a win and half a loss" in notes
    systems = write(tmp_path / "s.csv", ["model_a", "model_b", "winner"], rows)
    assert "systems and no clips" in " ".join(read_listening_test(systems).notes)


def test_systems_of_the_clips_are_taken_and_must_agree(tmp_path):
    names = ["audio_a", "audio_b", "system_a", "system_b", "winner"]
    rows = [
        ("1", "2", "x", "reference", "a"),
        ("2", "1", "reference", "x", "reference"),
    ]
    path = write(tmp_path / "v.csv", names, rows)
    clips = read_clips(path)
    assert clips["system_id"].tolist() == ["x"]
    both = read_clips(path, options=RatingOptions(anchors="keep"))
    assert both["preference"].tolist() == pytest.approx([0.5, 0.5])
    path = write(tmp_path / "v.csv", names, [*rows, ("1", "2", "y", "reference", "a")])
    with pytest.raises(UsageError, match=r"line 4: clip '1' is of system 'y'"):
        read_clips(path)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (("a", "b", "perhaps"), r"line 3: winner is 'perhaps'; legal are"),
        (("a", "a", "a"), "a vote is on two different clips"),
        (("a", "b", "0"), "may mean a tie or the first"),
    ],
)
def test_a_vote_that_cannot_be_counted_is_named(row, message, tmp_path):
    path = write(tmp_path / "v.csv", ["a", "b", "winner"], [("a", "b", "a"), row])
    with pytest.raises(UsageError, match=message):
        read_clips(path)


def test_votes_are_no_ratings_and_are_not_screened(tmp_path):
    path = write(tmp_path / "v.csv", ["a", "b", "winner"], [("a", "b", "a")])
    with pytest.raises(UsageError, match="holds votes on pairs and no ratings"):
        read_ratings(path, ["preference"])
    with pytest.raises(UsageError, match="--screen p808 is of ratings"):
        read_clips(path, options=RatingOptions(screen="p808"))
