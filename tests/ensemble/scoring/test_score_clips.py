"""Scores come back in the order asked for, keyed by clip, and a bad clip changes
nothing but itself.
"""

import io
import json
import re

import numpy as np
import pandas as pd
import pytest
from builders import clip_table, tones
from pandas.api.types import is_numeric_dtype
from sklearn.dummy import DummyRegressor
from tiny_networks import embedded_model

from base_models.encoders.base import Encoder
from base_models.encoders.store import EmbeddingStore
from base_models.errors import UsageError
from ensemble.estimator.stacked_mos import StackedMOS
from ensemble.formats import FORMATS, encode_scores
from ensemble.prediction_files.read_predictions import read_predictions
from ensemble.scoring import score_clips as scoring
from ensemble.scoring.audio_files import clips_from_files
from ensemble.scoring.input_rows import InputRows
from ensemble.scoring.score_clips import IntervalSettings, score_clips
from meta.score_columns import score_columns


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """24 clips of half a second by 4 systems, with prompts."""
    return clip_table(tmp_path_factory.mktemp("clips"), tones(24, noise=0.01))


def fit(clips, store, text_aspects=None):
    labels = np.random.default_rng(1).uniform(1, 5, (24, 2))
    y = pd.DataFrame(labels, columns=["mi", "ta"])
    options = {"text_aspects": text_aspects, "store": store}
    bases = []
    for seed in (0, 1):
        model = embedded_model(
            "dora", {"learning_rate": 1e-3}, random_state=seed, **options
        )
        bases.append((f"dora-s{seed}", model))
    return StackedMOS(bases, cv=0.5).fit(clips, y)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return EmbeddingStore(tmp_path_factory.mktemp("embeddings"))


@pytest.fixture(scope="module")
def stack(clips, store):
    return fit(clips, store)


@pytest.fixture(scope="module")
def scores(stack, clips, store):
    return score_clips(stack, clips, store)


# ---- scores


def test_scores_are_those_of_the_stack_in_the_order_asked_for(
    stack, clips, store, scores, monkeypatch
):
    order = np.random.default_rng(2).permutation(24)[:7]
    asked = clips.iloc[order]
    np.testing.assert_array_equal(scores.frame[["mi", "ta"]], stack.predict(clips))
    monkeypatch.setattr(scoring, "CLIPS_PER_CHUNK", 2)
    chunked = score_clips(stack, asked, store)
    assert chunked.frame["clip_id"].tolist() == asked["clip_id"].tolist()
    assert chunked.frame["audio"].tolist() == asked["audio"].tolist()
    np.testing.assert_allclose(
        chunked.frame[["mi", "ta"]], stack.predict(clips)[order], atol=1e-6
    )


def test_each_clip_is_encoded_once_and_the_store_is_used_again(
    stack, clips, tmp_path, monkeypatch
):
    encoded = []
    encode = Encoder.encode
    monkeypatch.setattr(
        Encoder,
        "encode",
        lambda self, batch: encoded.extend(batch) or encode(self, batch),
    )
    for _ in range(2):
        score_clips(stack, clips, EmbeddingStore(tmp_path))
    assert len(encoded) == 24 + 2


def test_the_interval_contains_the_score_and_grows_with_its_level(stack, clips, store):
    widths = []
    for level in (0.01, 0.5, 0.9, 0.999):
        frame = score_clips(stack, clips, store, IntervalSettings(level)).frame
        for aspect in ("mi", "ta"):
            assert (frame[f"{aspect}_low"] <= frame[aspect]).all()
            assert (frame[aspect] <= frame[f"{aspect}_high"]).all()
            assert frame[f"{aspect}_low"].min() >= 1
            assert frame[f"{aspect}_high"].max() <= 5
        widths.append((frame["mi_high"] - frame["mi_low"]).mean())
    assert widths == sorted(widths)


@pytest.mark.parametrize("level", [0.0, 1.0, 90, -0.1, float("nan")])
def test_a_level_that_is_no_coverage_is_refused(stack, clips, store, level):
    with pytest.raises(UsageError, match="level must lie between 0 and 1"):
        score_clips(stack, clips, store, IntervalSettings(level))


# ---- prompts


@pytest.mark.parametrize("prompt", ["", "  ", None, np.nan, "no column"])
def test_without_any_prompt_the_aspects_judged_by_it_are_left_out(
    stack, clips, store, scores, prompt
):
    bare = (
        clips.drop(columns="prompt")
        if prompt == "no column"
        else clips.assign(prompt=prompt)
    )
    found = score_clips(stack, bare, store)
    assert (found.aspects, found.left_out, found.set_aside) == (("mi",), ("ta",), ())
    assert not any(column.startswith("ta") for column in found.frame)
    np.testing.assert_allclose(
        found.frame["mi"], scores.frame["mi"], atol=1e-6
    )  # as with prompts


def test_where_some_clips_have_no_prompt_the_aspects_that_need_one_are_left_out(
    stack, clips, store, scores, monkeypatch
):
    monkeypatch.setattr(
        scoring, "CLIPS_PER_CHUNK", 4
    )  # the first chunk has no prompt at all, the table has some
    some = clips.assign(prompt=clips["prompt"].where(clips.index >= 5, ""))
    found = score_clips(stack, some, store)
    assert (found.aspects, found.left_out, found.set_aside) == (("mi", "ta"), (), ())
    assert found.without_prompt == {"ta": tuple(f"c{k:02d}" for k in range(5))}
    columns = ["ta", "ta_low", "ta_high"]
    assert found.frame[columns][:5].isna().all(axis=None)
    expected = scores.frame.assign(**{name: scores.frame[name] for name in columns})
    expected.loc[:4, columns] = np.nan
    np.testing.assert_allclose(
        found.frame[score_columns(("mi", "ta"))],
        expected[score_columns(("mi", "ta"))],
        atol=1e-5,
    )


def test_where_every_aspect_needs_a_prompt_clips_without_one_are_set_aside(
    clips, store
):
    stack = fit(clips, store, text_aspects=["mi", "ta"])
    some = clips.assign(prompt=clips["prompt"].where(clips.index >= 2, ""))
    found = score_clips(stack, some, store)
    assert [(bad.clip_id, bad.reason) for bad in found.set_aside] == [
        ("c00", "no prompt"),
        ("c01", "no prompt"),
    ]
    assert found.without_prompt == {}


def test_every_format_writes_a_missing_score_as_its_readers_expect(
    stack, clips, store, tmp_path
):
    some = clips[:3].assign(prompt=["", *clips["prompt"][1:3]])
    found = score_clips(stack, some, store)
    _, first, *_ = encode_scores(found, "csv").decode().splitlines()
    assert ",,,," in first
    record = json.loads(encode_scores(found, "jsonl").splitlines()[0])
    assert record["ta"] is record["ta_low"] is None
    assert record["mi"] == found.frame["mi"][0]
    first = encode_scores(found, "answer").decode().splitlines()[0]
    assert re.fullmatch(r"c00,\d\.\d{8},", first)

    # What one command writes, another reads; an archive is for the challenge alone.
    for name in set(FORMATS) - {"answer.zip"}:
        path = tmp_path / f"scores{FORMATS[name].suffix}"
        path.write_bytes(encode_scores(found, name))
        read = read_predictions(path, ["mi", "ta"])
        np.testing.assert_allclose(
            read[["mi", "ta"]], found.frame[["mi", "ta"]], atol=1e-6
        )


def test_a_stack_of_text_aspects_alone_asks_for_prompts(clips, store):
    stack = fit(clips, store, text_aspects=["mi", "ta"])
    with pytest.raises(
        UsageError, match="mi, ta is judged against the prompt; pass --prompt"
    ):
        score_clips(stack, clips.assign(prompt=""), store)


def test_a_stack_without_text_aspects_needs_no_prompts(clips, store):
    found = score_clips(
        fit(clips, store, text_aspects=[]), clips.drop(columns="prompt"), store
    )
    assert (found.aspects, found.left_out) == (("mi", "ta"), ())


# ---- clips that cannot be used


def test_a_damaged_file_is_set_aside_and_the_rest_score_the_same(
    stack, clips, store, scores, tmp_path, monkeypatch
):
    (tmp_path / "bad.wav").write_bytes(b"RIFF")
    audio = clips["audio"].where(
        ~clips.index.isin([3, 10]), [str(tmp_path / "bad.wav")] * 24
    )
    audio[20] = "nowhere.wav"
    monkeypatch.setattr(scoring, "CLIPS_PER_CHUNK", 10)
    found = score_clips(stack, clips.assign(audio=audio), store)
    assert [bad.clip_id for bad in found.set_aside] == ["c03", "c10", "c20"]
    kept = [k for k in range(24) if k not in (3, 10, 20)]
    assert found.frame["clip_id"].tolist() == [f"c{k:02d}" for k in range(24)]
    statuses = found.frame["status"]
    assert statuses[[3, 10, 20]].tolist() == ["unreadable", "unreadable", "missing"]
    assert statuses[kept].unique().tolist() == ["ok"]
    for row, bad in zip((3, 10, 20), found.set_aside, strict=True):
        assert found.frame["reason"][row] == bad.reason != ""
    assert found.frame.loc[[3, 10, 20], ["mi", "ta", "seconds"]].isna().all(axis=None)
    assert found.usable["clip_id"].tolist() == [f"c{k:02d}" for k in kept]
    np.testing.assert_allclose(
        found.usable[["mi", "ta"]], scores.frame[["mi", "ta"]].iloc[kept], atol=1e-6
    )


def test_when_no_clip_can_be_used_the_table_is_whole_nevertheless(
    stack, clips, store, scores
):
    found = score_clips(stack, clips.assign(audio="nowhere.wav"), store)
    assert len(found.set_aside) == 24
    assert list(found.frame.columns) == list(scores.frame.columns)
    kinds = [is_numeric_dtype(scores.frame[name]) for name in scores.frame]
    assert [is_numeric_dtype(found.frame[name]) for name in found.frame] == kinds
    assert [
        len(encode_scores(found, name).splitlines())
        for name in ("csv", "jsonl", "answer")
    ] == [25, 24, 0]
    assert found.usable.empty


def test_a_stack_with_other_base_models_is_refused_by_name(clips, store):
    y = np.random.default_rng(1).uniform(1, 5, 24)
    stack = StackedMOS([("numbers", DummyRegressor())], cv=2).fit(clips, y)
    with pytest.raises(UsageError, match="Base model 'numbers' does not read clips"):
        score_clips(stack, clips, store)


def test_a_row_with_the_id_of_an_earlier_one_comes_back_without_scores(
    stack, clips, store, scores, monkeypatch
):
    monkeypatch.setattr(scoring, "CLIPS_PER_CHUNK", 2)
    found = score_clips(stack, pd.concat([clips[:3], clips[:1]]), store)
    assert found.frame["clip_id"].tolist() == ["c00", "c01", "c02", "c00"]
    assert found.frame["status"].tolist() == ["ok", "ok", "ok", "duplicate"]
    assert found.frame["reason"][3] == "its id stands in row 1 already"
    np.testing.assert_allclose(found.usable["mi"], scores.frame["mi"][:3], atol=1e-6)


# ---- formats


def test_every_format_holds_the_same_scores(scores):
    files = {name: io.BytesIO(encode_scores(scores, name)) for name in FORMATS}
    # Without flags a cell is empty.
    csv = pd.read_csv(files["csv"], keep_default_na=False)
    jsonl = pd.read_json(files["jsonl"], lines=True)
    parquet = pd.read_parquet(files["parquet"])
    pd.testing.assert_frame_equal(parquet, scores.frame)
    for frame in (csv, jsonl):
        assert list(frame.columns) == list(scores.frame.columns)
        pd.testing.assert_frame_equal(frame, scores.frame, atol=1e-6, check_dtype=False)
    answers = pd.read_csv(files["answer"], names=["clip_id", "mi", "ta"])
    np.testing.assert_allclose(
        answers[["mi", "ta"]], scores.frame[["mi", "ta"]], atol=1e-8
    )
    assert answers["clip_id"].tolist() == sorted(scores.frame["clip_id"])


def test_an_unknown_format_is_refused(scores):
    with pytest.raises(UsageError, match="Did you mean 'jsonl'"):
        encode_scores(scores, "json")


# ---- clips from files


def test_files_and_folders_become_a_table(tmp_path):
    for name in ("b.wav", "a.FLAC", "deep/c.mp3", "notes.txt"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).touch()
    table = clips_from_files([str(tmp_path / "in"), "z.wav"], "slow piano")
    assert table["clip_id"].tolist() == ["a", "b", "c", "z"]
    assert set(table["prompt"]) == {"slow piano"}
    assert clips_from_files(["z.wav"], None)["prompt"].tolist() == [""]
    assert table["audio"][2] == str(tmp_path / "in" / "deep" / "c.mp3")


def test_files_of_one_name_get_ids_of_their_own():
    table = clips_from_files(["one/a.wav", "two/a.wav", "two/b.wav"], None)
    assert table["clip_id"].tolist() == ["one/a.wav", "two/a.wav", "two/b.wav"]


def test_a_file_that_is_given_twice_has_two_rows_of_one_id():
    table = clips_from_files(["a.wav", "b.wav", "./a.wav"], None)
    assert table["clip_id"].tolist() == ["a", "b", "a"]
    rows = InputRows.of_clips(table)
    assert rows.clips["clip_id"].tolist() == ["a", "b"]
    assert rows.refused[2].status == "duplicate"


def test_a_folder_without_audio_is_refused(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(
        UsageError,
        match=r"holds no audio file \(\.aac, \.aif, \.aifc, \.aiff, \.au, .*\.wav",
    ):
        clips_from_files([str(tmp_path)], None)


def test_the_store_of_the_stack_is_left_alone(stack, clips, store, tmp_path):
    given = [model.store for _, model in stack.estimators_]
    score_clips(stack, clips[:2], EmbeddingStore(tmp_path))
    assert [model.store for _, model in stack.estimators_] == given
