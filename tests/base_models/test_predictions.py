import json
from dataclasses import replace

import numpy as np
import pytest

from base_models.bins import ScoreBins
from base_models.errors import DamagedArtifact, UsageError
from base_models.files import Artifact, atomic_write, seal, to_json, write_tensors
from base_models.predictions import RATINGS, PredictionTable


@pytest.fixture
def table():
    scores = np.random.default_rng(0).uniform(1, 5, (4, 2))
    seen = {"trained_on": frozenset({"t1", "t2"}), "selected_on": frozenset({"v"})}
    return PredictionTable.from_scores(
        "m-s0", ["c", "06", "NA", "d"], ["mi", "ta"], scores, **seen
    )


def test_scalars_are_softened_with_the_papers_width_and_decode_to_themselves():
    scores = np.array([[1.0], [3.3], [5.0]])
    table = PredictionTable.from_scores("m", ["a", "b", "c"], ["mos"], scores)
    assert table.sigma == 0.35
    assert np.allclose(table.scores, scores, atol=1e-6)


def test_what_was_not_softened_decodes_to_its_mean_also_after_a_round_trip(tmp_path):
    table = PredictionTable("m", ("a",), ("mos",), np.eye(20)[None, None, 0], sigma=0)
    table.write(tmp_path / "t.parquet")
    for one in (table, PredictionTable.read(tmp_path / "t.parquet")):
        assert one.scores == pytest.approx(np.array([[1.1]]))


def test_save_and_load_give_the_same_table(table, tmp_path):
    table.write(tmp_path / "t.parquet")
    back = PredictionTable.read(tmp_path / "t.parquet")
    assert np.array_equal(back.distributions, table.distributions)
    for name in (
        "model",
        "clip_ids",
        "aspects",
        "bins",
        "sigma",
        "trained_on",
        "selected_on",
    ):
        assert getattr(back, name) == getattr(table, name)


def in_a_folder(table, folder):
    """The files of a table below ``base/`` of a sealed folder."""
    for name, data in table.to_files().items():
        atomic_write(folder / "base" / name, data)
    seal(folder, "stack")
    return Artifact(folder, "stack")


@pytest.mark.parametrize("distances", [None, (0.0, 1.5, 2.0, 3.0)])
def test_the_files_of_a_stack_give_the_same_table(distances, table, tmp_path):
    table = replace(table, predicts=RATINGS, distances=distances)
    artifact = in_a_folder(table, tmp_path)
    assert PredictionTable.is_in(artifact, "base/")
    assert not PredictionTable.is_in(artifact, "other/")
    back = PredictionTable.from_artifact(artifact, "base/")
    assert back.to_files() == table.to_files()
    assert back.to_bytes() == table.to_bytes()


@pytest.mark.parametrize("fault", ["bins", "clip_ids", "unit", "shape"])
def test_files_that_are_no_table_are_refused_even_when_sealed(fault, table, tmp_path):
    files = table.to_files()
    facts = json.loads(files["predictions.json"])
    distributions = table.distributions.copy()
    if fault == "shape":
        distributions = distributions[1:]
    elif fault == "unit":
        distributions[0, 0, 0] += 1
    else:
        del facts[fault]
    atomic_write(tmp_path / "base/predictions.json", to_json(facts))
    write_tensors(
        tmp_path / "base/predictions.safetensors", {"distributions": distributions}
    )
    seal(tmp_path, "stack")
    with pytest.raises(DamagedArtifact, match="is not a readable prediction table"):
        PredictionTable.from_artifact(Artifact(tmp_path, "stack"), "base/")


def test_what_a_table_is_of_is_kept_and_said_only_of_single_ratings(table, tmp_path):
    of_ratings = replace(table, predicts=RATINGS)
    of_ratings.write(tmp_path / "t.parquet")
    assert PredictionTable.read(tmp_path / "t.parquet").predicts == RATINGS
    assert of_ratings.take(["d"]).predicts == RATINGS
    # A table of mean labels has the bytes that it had before there was a choice.
    assert b"predicts" in of_ratings.to_bytes()
    assert b"predicts" not in table.to_bytes()
    with pytest.raises(UsageError, match="Unknown content of a table 'medians'"):
        replace(table, predicts="medians")
    parts = [of_ratings.take(["c"]), of_ratings.take(["d"])]
    unseen = [replace(part, trained_on=frozenset()) for part in parts]
    assert PredictionTable.join(unseen).predicts == RATINGS
    with pytest.raises(UsageError, match="differ in scale or aspects"):
        PredictionTable.join([unseen[0], replace(unseen[1], predicts="mean")])


def test_an_empty_table_survives_a_round_trip(table, tmp_path):
    table.take([]).write(tmp_path / "t.parquet")
    assert len(PredictionTable.read(tmp_path / "t.parquet")) == 0


def test_rows_are_taken_in_the_order_asked_for(table):
    assert np.array_equal(
        table.take(["d", "c"]).distributions, table.distributions[[3, 0]]
    )


def test_a_missing_prediction_names_clip_and_model(table):
    with pytest.raises(UsageError, match=r"'m-s0' has no prediction for 'x'"):
        table.take(["c", "x"])


def test_no_changed_byte_gives_other_numbers_silently(table, tmp_path):
    path = tmp_path / "t.parquet"
    table.write(path)
    good = path.read_bytes()
    for position in np.random.default_rng(1).integers(0, len(good), 150):
        data = good[:position] + bytes([good[position] ^ 4]) + good[position + 1 :]
        try:
            back = PredictionTable.parse(data, "t")
        except (DamagedArtifact, UsageError):
            continue
        assert np.array_equal(back.distributions, table.distributions)


@pytest.mark.parametrize("data", [b"", b"PAR1", b"\x80\x04K\x01."])
def test_bytes_that_are_no_table_are_refused(data):
    with pytest.raises(DamagedArtifact, match="t is not a readable prediction table"):
        PredictionTable.parse(data, "t")


def test_ids_that_repeat_and_shapes_that_disagree_are_refused():
    bins = ScoreBins()
    with pytest.raises(UsageError, match="hold a clip id twice"):
        PredictionTable.from_scores("m", ["a", "a"], ["mos"], [[1.0], [2.0]])
    with pytest.raises(UsageError, match=r"sigma must be 0 or more; got -0\.1"):
        PredictionTable("m", ("a",), ("x",), bins.soften([[1.0]]), sigma=-0.1)
    with pytest.raises(UsageError, match="have shape"):
        PredictionTable("m", ("a",), ("x", "y"), bins.soften([[1.0]]))


def test_folds_join_into_one_table_and_a_fold_that_saw_its_clips_is_refused():
    parts = [
        PredictionTable.from_scores(
            "m", [clip], ["mi"], [[3.0]], trained_on={"a", "b"} - {clip}
        )
        for clip in "ab"
    ]
    whole = PredictionTable.join(parts)
    assert whole.clip_ids == ("a", "b")
    assert not whole.trained_on
    leaky = PredictionTable.from_scores(
        "m", ["a"], ["mi"], [[3.0]], selected_on=frozenset({"a"})
    )
    with pytest.raises(
        UsageError, match=r"A fold of 'm' predicts 'a', which its model was trained on"
    ):
        PredictionTable.join([leaky])
    with pytest.raises(UsageError, match="hold a clip id twice"):
        PredictionTable.join([parts[0], parts[0]])
    other = PredictionTable.from_scores("m", ["b"], ["mi"], [[3.0]], sigma=0.2)
    with pytest.raises(UsageError, match="differ in scale"):
        PredictionTable.join([parts[0], other])


# ---- distances


def test_distances_stay_with_their_clips(tmp_path):
    scores = np.linspace(1, 5, 8).reshape(4, 2)
    plain = PredictionTable.from_scores("m", list("abcd"), ("mi", "ta"), scores)
    told = replace(plain, distances=[0.5, 1, 2, 0])
    assert told.take(["c", "a"]).distances.tolist() == [2, 0.5]
    assert plain.take(["c"]).distances is None

    told.write(tmp_path / "told.parquet")
    again = PredictionTable.read(tmp_path / "told.parquet")
    np.testing.assert_array_equal(again.distances, told.distances)
    plain.write(tmp_path / "plain.parquet")
    assert PredictionTable.read(tmp_path / "plain.parquet").distances is None

    halves = [told.take(["a", "b"]), told.take(["c", "d"])]
    assert PredictionTable.join(halves).distances.tolist() == [0.5, 1, 2, 0]
    mixed = [halves[0], replace(halves[1], distances=None)]
    assert PredictionTable.join(mixed).distances is None


@pytest.mark.parametrize("distances", [[1.0], [1, 2, 3, -1], [1, 2, 3, np.nan]])
def test_distances_that_cannot_be_are_refused(distances):
    scores = np.linspace(1, 5, 4)
    table = PredictionTable.from_scores("m", list("abcd"), ("mi",), scores)
    with pytest.raises(UsageError, match="one finite distance of 0 or more for each"):
        replace(table, distances=distances)
