"""A stack predicts audio files by their paths, in the order in which they are named."""

import logging
import shutil

import numpy as np
import pandas as pd
import pytest
from builders import clip_table, tones
from sklearn.linear_model import Ridge
from tiny_networks import embedded_model

from base_models.encoders.store import EmbeddingStore
from base_models.errors import ClipError, UsageError
from ensemble.estimator.stacked_mos import StackedMOS


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    return clip_table(tmp_path_factory.mktemp("clips"), tones(24, noise=0.01))


@pytest.fixture(scope="module")
def stack(clips, tmp_path_factory):
    labels = np.random.default_rng(1).uniform(1, 5, (24, 2))
    y = pd.DataFrame(labels, columns=["mi", "ta"])
    store = EmbeddingStore(tmp_path_factory.mktemp("embeddings"))
    bases = [
        (f"m{seed}", embedded_model("dora", random_state=seed, store=store))
        for seed in (0, 1)
    ]
    return StackedMOS(bases, cv=0.5).fit(clips, y)


@pytest.fixture(scope="module")
def files(clips):
    return clips["audio"].tolist()


def test_files_score_what_a_table_of_them_scores(stack, clips, files):
    table = stack.predict(clips)
    prompts = clips["prompt"].tolist()
    np.testing.assert_array_equal(stack.predict(files, prompts), table)
    series = pd.Series(files[::-1])
    np.testing.assert_array_equal(stack.predict(series, prompts[::-1]), table[::-1])


def test_one_path_is_one_row_and_one_prompt_is_for_all(stack, clips, files):
    alone = stack.predict(files[3], "slow piano")
    both = stack.predict([files[0], files[3]], "slow piano")
    assert alone.shape == (1, 2)
    np.testing.assert_allclose(both[1], alone[0], atol=1e-6)


def test_a_file_may_be_asked_for_twice(stack, files):
    twice = stack.predict([files[0], files[1], files[0]], ["a b", "c d", "e f"])
    assert twice[0, 0] == pytest.approx(twice[2, 0])
    assert twice[0, 1] != twice[2, 1]


def test_a_folder_is_its_files_in_the_order_of_their_paths(stack, clips, tmp_path):
    for name, source in (("b.wav", 0), ("a.wav", 1)):
        shutil.copy(clips["audio"][source], tmp_path / name)
    found = stack.predict(tmp_path, "x y")
    named = stack.predict([tmp_path / "a.wav", tmp_path / "b.wav"], "x y")
    np.testing.assert_array_equal(found, named)


def test_without_prompts_aspects_that_need_them_are_nan(stack, files):
    scores = stack.predict(files[:2])
    assert np.isfinite(scores[:, 0]).all()
    assert np.isnan(scores[:, 1]).all()


def test_intervals_and_distributions_take_files_as_well(stack, clips, files):
    prompts = clips["prompt"].tolist()
    low, high = stack.predict_interval(files, 0.8, prompts=prompts)
    for ours, theirs in zip(
        (low, high), stack.predict_interval(clips, 0.8), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)
    found = stack.predict_distribution(files, prompts)
    np.testing.assert_array_equal(found, stack.predict_distribution(clips))


@pytest.fixture
def broken(tmp_path, files):
    (tmp_path / "noise.wav").write_bytes(b"this is no audio")
    return [files[0], tmp_path / "noise.wav", files[1], tmp_path / "nowhere.wav"]


def test_missing_files_are_refused_by_name_before_anything_runs(stack, broken):
    with pytest.raises(UsageError, match=r"1 file is not there: .*nowhere\.wav"):
        stack.predict(broken, "x y")


def test_a_file_that_is_no_audio_is_refused_by_name(stack, broken):
    with pytest.raises(ClipError, match=r"noise\.wav.*not audio of a known kind"):
        stack.predict(broken[:3], "x y")


def test_files_that_cannot_be_used_can_be_nan_in_their_place(stack, broken, caplog):
    with caplog.at_level(logging.WARNING):
        scores = stack.predict(broken, "x y", on_error="nan")
    good = stack.predict([broken[0], broken[2]], "x y")
    np.testing.assert_array_equal(scores[[0, 2]], good)
    assert np.isnan(scores[[1, 3]]).all()
    assert "2 of 4 clips have no score" in caplog.text
    low, _ = stack.predict_interval(
        broken, prompts="x y", on_error="nan", system_ids=["s"] * 4
    )
    assert np.isnan(low[:, 0]).tolist() == [False, True, False, True]


def test_as_many_prompts_as_files_are_needed(stack, files):
    with pytest.raises(UsageError, match="2 audio files need as many prompts"):
        stack.predict(files[:2], ["one"])


def test_prompts_are_not_for_tables(stack, clips):
    with pytest.raises(UsageError, match="prompts and on_error are for audio files"):
        stack.predict(clips, prompts="one")


def test_unknown_ways_with_errors_are_refused(stack, files):
    with pytest.raises(UsageError, match="Unknown on_error 'skip'"):
        stack.predict(files[:1], on_error="skip")


def test_an_empty_folder_is_refused(stack, tmp_path):
    with pytest.raises(UsageError, match="holds no audio file"):
        stack.predict(tmp_path)


def test_a_stack_of_rows_reads_no_audio():
    X = np.random.default_rng(0).normal(size=(40, 3))
    stack = StackedMOS([("a", Ridge())], validation=None)
    stack.fit(X, np.clip(3 + X[:, 0], 1, 5))
    with pytest.raises(UsageError, match="reads no audio"):
        stack.predict("clip.wav")


def test_a_clip_is_preferred_to_itself_in_half_of_the_cases(stack, files):
    probabilities = stack.predict_preference(files[:3], files[:3], "x y")
    np.testing.assert_allclose(probabilities, 0.5)


def test_preferences_of_both_directions_sum_to_one(stack, files):
    there = stack.predict_preference(files[:3], files[3:6], "x y", same_system=True)
    back = stack.predict_preference(files[3:6], files[:3], "x y", same_system=True)
    np.testing.assert_allclose(there + back, 1)


def test_pairs_have_two_clips(stack, files):
    with pytest.raises(UsageError, match="two clips each; got 2 and 3"):
        stack.predict_preference(files[:2], files[:3], "x y")


def test_two_folders_are_compared_in_pairs_of_equal_file_names(stack, files, tmp_path):
    folders = {"old": tmp_path / "v1", "new": tmp_path / "v2"}
    for k, folder in enumerate(folders.values()):
        folder.mkdir()
        for i in range(3):
            shutil.copy(files[2 * i + k], folder / f"p{i}.wav")
    found = stack.compare(folders)
    assert set(found.systems["system_id"]) == {"old", "new"}
    assert found.differences["n_pairs"].tolist() == [3]
    means = found.systems.set_index("system_id")["mean"]
    assert means["old"] == pytest.approx(stack.predict(folders["old"])[:, 0].mean())
    with pytest.raises(UsageError, match="folders of two systems; got 1"):
        stack.compare({"old": folders["old"]})
