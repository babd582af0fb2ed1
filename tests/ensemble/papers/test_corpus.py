"""MusicEval is known by its lists, and nothing else passes for it."""

import numpy as np
import pandas as pd
import pytest
from builders import SHARED_DATA

from base_models.clips.read_clips import read_clips
from ensemble.papers.corpus import (
    MUSICEVAL_SIZES,
    MUSICEVAL_SYSTEMS,
    TRAIN_SHA256,
    Corpus,
    list_digest,
)

LISTS = SHARED_DATA / "musiceval-labels"


def official():
    """A table with the numbers of clips and systems of MusicEval, and other labels."""
    rows = []
    for split, (clips, systems) in MUSICEVAL_SIZES.items():
        names = sorted(MUSICEVAL_SYSTEMS)[:systems]
        for k in range(clips):
            system = names[k % systems]
            rows.append((f"audiomos2025-track1-{system}_{split}{k}", system, split))
    frame = pd.DataFrame(rows, columns=["clip_id", "system_id", "split"])
    return frame.assign(mi=3.0, ta=2.0)


def test_numbers_of_clips_and_systems_are_known():
    for split in ("dev", "test", "all"):
        corpus = Corpus.of(official(), split)
        assert corpus.is_musiceval
        assert corpus.sentence == (
            "MusicEval, known by its numbers of clips and systems."
        )


@pytest.mark.parametrize(
    "spoil",
    [
        lambda frame: frame.iloc[1:],
        lambda frame: frame.assign(system_id="A" + frame["system_id"]),
        lambda frame: frame.assign(system_id=""),
        lambda frame: frame.assign(split=np.roll(frame["split"], 5)[::-1]),
        lambda frame: frame[frame["split"] != "test"],
    ],
)
def test_another_corpus_or_a_part_of_it_is_said_to_be_one(spoil):
    corpus = Corpus.of(spoil(official()), "test")
    assert not corpus.is_musiceval
    assert corpus.sentence.startswith("NOT MusicEval as it was published (")


def test_the_digest_of_labels_depends_on_no_order_and_no_spelling():
    frame = official()
    assert list_digest(frame) == list_digest(frame[::-1])
    plain = frame["clip_id"].str.removeprefix("audiomos2025-track1-")
    assert list_digest(frame) == list_digest(frame.assign(clip_id=plain))
    assert list_digest(frame) == list_digest(
        frame.assign(clip_id="wav/" + frame["clip_id"] + ".wav")
    )
    changed = frame.assign(mi=[2.8, *frame["mi"][1:]])
    assert list_digest(frame) != list_digest(changed)
    assert list_digest(frame.drop(columns="ta")) == ""


def test_the_training_labels_of_musiceval_are_known_by_their_digest(tmp_path):
    if not LISTS.is_dir():
        pytest.skip("the label lists of MusicEval are not here")
    frame = read_clips(LISTS)
    assert list_digest(frame) == TRAIN_SHA256
    inner = Corpus.of(frame, "dev")
    assert not inner.is_musiceval
    assert inner.sentence.startswith(
        "MusicEval's training clips alone, split otherwise"
    )

    others = official()
    whole = pd.concat([frame.assign(split="train"), others[others["split"] != "train"]])
    for table in (whole, whole[whole["split"] != "dev"]):
        corpus = Corpus.of(table, "test")
        assert corpus.is_musiceval
        assert "SHA-256 of its training labels" in corpus.sentence
    assert not Corpus.of(whole[whole["split"] != "dev"], "dev").is_musiceval
    assert not Corpus.of(whole.iloc[:-1], "test").is_musiceval
