"""Distributions reach the user: 20 bins per clip and aspect, of the stack and of each
base model, in files that say what they hold.
"""

import io
import json

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from builders import clip_table, tones
from commands import call, refused
from tiny_networks import embedded_model

from base_models.bins import ScoreBins
from base_models.clips.bookkeeping import (
    is_bookkeeping_of_models,
    is_bookkeeping_of_ratings,
)
from base_models.encoders.store import EmbeddingStore
from base_models.errors import UsageError
from ensemble.estimator.stacked_mos import StackedMOS
from ensemble.formats import (
    encode_distributions,
    encode_scores,
    format_of_distributions,
)
from ensemble.scoring import score_clips as scoring
from ensemble.scoring.chunks import run_chunks
from ensemble.scoring.chunks.run_chunks import Workers
from ensemble.scoring.score_clips import score_clips
from ensemble.scoring.score_predictions import score_predictions
from ensemble.scoring.stack_source import StackSource

ASPECTS = ("mi", "ta")
MODELS = ["stack", "dora-s0", "dora_beta-s1"]


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    return clip_table(tmp_path_factory.mktemp("clips"), tones(24, noise=0.01))


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return EmbeddingStore(tmp_path_factory.mktemp("embeddings"))


@pytest.fixture(scope="module")
def stack(clips, store):
    labels = np.random.default_rng(1).uniform(1, 5, (24, 2))
    bases = [
        (f"dora-s{seed}", embedded_model("dora", random_state=seed, store=store))
        for seed in (0, 1)
    ]
    bases[1] = ("dora_beta-s1", bases[1][1])
    return StackedMOS(bases, cv=0.5).fit(clips, pd.DataFrame(labels, columns=ASPECTS))


@pytest.fixture(scope="module")
def scores(stack, clips, store):
    return score_clips(stack, clips, store, distributions="members")


def of_model(frame, model, aspect):
    rows = frame[frame["model"] == model]
    return rows[[f"{aspect}_b{k:02d}" for k in range(20)]].to_numpy()


def test_they_are_those_of_the_stack_and_of_its_base_models(stack, clips, scores):
    frame = scores.distributions.frame
    assert frame["model"].tolist() == MODELS * 24
    assert frame["clip_id"].tolist() == np.repeat(clips["clip_id"], 3).tolist()
    expected = stack.predict_distribution(clips)
    tables = stack.prediction_tables(clips)
    for k, aspect in enumerate(ASPECTS):
        np.testing.assert_allclose(of_model(frame, "stack", aspect), expected[:, k])
        own = frame.loc[frame["model"] == "stack", aspect]
        assert own.tolist() == scores.frame[aspect].tolist()
        for table in tables:
            bins = of_model(frame, table.model, aspect)
            np.testing.assert_allclose(bins, table.of(aspect))
            own = frame.loc[frame["model"] == table.model, aspect]
            np.testing.assert_allclose(own, table.scores[:, k])


def test_without_members_there_is_one_row_a_clip_and_without_asking_none(
    stack, clips, store, scores
):
    alone = score_clips(stack, clips, store, distributions="stack").distributions
    everybody = scores.distributions.frame
    pd.testing.assert_frame_equal(
        alone.frame,
        everybody[everybody["model"] == "stack"].reset_index(drop=True),
    )
    assert score_clips(stack, clips, store).distributions is None
    with pytest.raises(UsageError, match="Unknown distributions 'all'"):
        score_clips(stack, clips, store, distributions="all")


def test_chunks_and_workers_give_the_same_rows(
    stack, clips, store, scores, tmp_path, monkeypatch
):
    monkeypatch.setattr(scoring, "CLIPS_PER_CHUNK", 5)
    chunked = score_clips(stack, clips, store, distributions="members")

    def in_turn(function, pieces, engine, shared, needs):
        return (function(*piece) for piece in pieces)

    stack.save(tmp_path)
    monkeypatch.setattr(run_chunks, "spread", in_turn)
    source = StackSource.of(tmp_path, store.folder)
    spread = score_clips(
        stack,
        clips,
        store,
        workers=Workers("dask://anywhere", source=source),
        distributions="members",
    )
    for other in (chunked, spread):
        pd.testing.assert_frame_equal(
            other.distributions.frame, scores.distributions.frame, atol=1e-6
        )


def test_aspects_without_a_prompt_and_clips_that_are_set_aside_are_left_out(
    stack, clips, store
):
    given = clips.assign(prompt="")
    given.loc[3, "audio"] = "nowhere.wav"
    found = score_clips(stack, given, store, distributions="stack").distributions
    assert found.aspects == ("mi",)
    assert len(found.frame) == 23
    assert not any(column.startswith("ta") for column in found.frame)
    none = clips.assign(audio="nowhere.wav")
    empty = score_clips(stack, none, store, distributions="stack").distributions
    assert len(empty.frame) == 0
    for name in ("csv", "jsonl", "parquet"):
        encode_distributions(empty, name)


def test_every_format_holds_the_same_bins(scores):
    distributions = scores.distributions
    frame = distributions.frame
    csv = pd.read_csv(io.BytesIO(encode_distributions(distributions, "csv")))
    assert list(csv) == list(frame)
    np.testing.assert_allclose(csv.iloc[:, 2:], frame.iloc[:, 2:], atol=1e-8)
    encoded = encode_distributions(distributions, "parquet")
    lists = {
        "parquet": pd.read_parquet(io.BytesIO(encoded)),
        "jsonl": pd.read_json(
            io.BytesIO(encode_distributions(distributions, "jsonl")), lines=True
        ),
    }
    for table in lists.values():
        assert list(table) == ["clip_id", "model", "mi", "mi_bins", "ta", "ta_bins"]
        for aspect in ASPECTS:
            bins = [column for column in frame if column.startswith(f"{aspect}_b")]
            found = np.stack(table[f"{aspect}_bins"].to_list())
            np.testing.assert_allclose(found, frame[bins], atol=1e-9)
    centers = json.loads(pq.read_schema(io.BytesIO(encoded)).metadata[b"bin_centers"])
    np.testing.assert_allclose(centers, ScoreBins().centers)


def test_the_answer_format_has_no_place_for_them(scores):
    with pytest.raises(UsageError, match="'answer' has no place"):
        encode_distributions(scores.distributions, "answer")
    for path in ("d.txt", "d", "d.npz"):
        with pytest.raises(UsageError, match=r"\.csv, \.jsonl or \.parquet.*answer"):
            format_of_distributions(path)


def test_no_column_of_bins_is_ever_read_as_a_rating_or_a_model():
    for name in ("mi_b00", "mi_b19", "mi_bins", "MI_B07"):
        assert is_bookkeeping_of_ratings(name)
        assert is_bookkeeping_of_models(name, ["mi"])
    assert not is_bookkeeping_of_models("w2v_b1", ["mi"])
    assert not is_bookkeeping_of_models("w2v_b12", ["mi"])


# ---- the command


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Artifacts of a ``fit_meta --predictions`` that fills gaps."""
    root = tmp_path_factory.mktemp("place")
    rng = np.random.default_rng(0)
    truth = rng.uniform(1.5, 4.5, 60)
    table = {"clip_id": [f"c{k}" for k in range(60)], "mos": truth}
    table["system_id"] = [f"s{k % 6}" for k in range(60)]
    for name in ("one", "two"):
        table[name] = np.clip(truth + rng.normal(0, 0.4, 60), 1, 5)
    pd.DataFrame(table).to_csv(root / "old.csv", index=False)
    code, _, err = call(
        *("fit_meta", "--predictions", root / "old.csv", "--missing", "pool"),
        *("--artifacts", root / "art", "--rivals", "mean"),
    )
    assert code == 0, err
    new = pd.DataFrame({"clip_id": ["x", "y"], "one": [2.0, 3.0], "two": [2.5, None]})
    new.to_csv(root / "new.csv", index=False)
    return root


def test_the_command_writes_them_and_says_where_the_bins_are(place, tmp_path):
    code, out, err = call(
        *("predict_mos", "--predictions", place / "new.csv"),
        *("--artifacts", place / "art", "--out", tmp_path / "s.txt", "--members"),
        *("--distributions", tmp_path / "d.csv"),
    )
    assert code == 0, err
    assert "20 bins with centres 1.1, 1.3 … 4.9" in err
    assert out.split() == [str(tmp_path / "s.txt")]
    table = pd.read_csv(tmp_path / "d.csv")
    # Model two did not predict clip y: it has no row, not one of zeros.
    rows = list(zip(table["clip_id"], table["model"], strict=True))
    members = [("x", "one"), ("x", "two"), ("y", "stack"), ("y", "one")]
    assert rows == [("x", "stack"), *members]
    bins = table.filter(regex=r"^mos_b\d\d$")
    assert bins.shape == (5, 20)
    np.testing.assert_allclose(bins.sum(axis=1), 1, atol=1e-6)
    assert table.loc[1, "mos"] == pytest.approx(2.0, abs=1e-3)


def test_predictions_give_the_same_as_the_command(place, tmp_path):
    (folder,) = (place / "art" / "meta").iterdir()
    scores, _ = score_predictions(
        StackedMOS.load(folder), [place / "new.csv"], distributions="stack"
    )
    assert scores.distributions.frame["model"].tolist() == ["stack", "stack"]
    assert b"mos_b00" not in encode_scores(scores, "csv")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--distributions", "d.txt"], "answer format holds scores alone"),
        (["--members"], "--members adds base models to the file of --distributions"),
        (["--out", "a.csv", "--distributions", "./a.csv"], "are both a.csv"),
    ],
)
def test_what_cannot_be_written_is_refused_before_anything_is_scored(
    place, options, message
):
    result = call(
        *("predict_mos", "--predictions", place / "new.csv"),
        *("--artifacts", place / "nowhere", *options),
    )
    refused(2, result, message)
