"""A stack on disk is whole or refused, and says what it is."""

import numpy as np
import pytest
from builders import Predictor, prediction_tables, rows_of_tables

from base_models.errors import DamagedArtifact, UsageError
from base_models.files import Artifact, atomic_write, read_json, seal, write_json
from base_models.predictions import PredictionTable
from ensemble.estimator.base_model_files import files_of, stored_table
from ensemble.estimator.save_and_load import read_stack, write_stack
from meta.regressor import MetaRegressor

BASES = {
    "dora-s0": {"config.json": b"{}", "weights.safetensors": b"w0"},
    "dora-s1": {"config.json": b"{}"},
}
LABELS = np.random.default_rng(1).uniform(1, 5, (30, 1))
TABLES = prediction_tables(
    LABELS, dict.fromkeys(BASES, Predictor(noise=1.0)), aspects=["mi"]
)


@pytest.fixture(params=["ridge", "lightgbm", "mean"])
def regressor(request):
    rows = rows_of_tables(TABLES, LABELS)
    return MetaRegressor(request.param).fit(TABLES, rows)


def test_what_is_written_is_read_back(regressor, tmp_path):
    write_stack(tmp_path, regressor, BASES, {"flat": True}, {"report.html": b"<p>"})
    artifact, facts, again = read_stack(tmp_path)
    assert facts["bases"] == ["dora-s0", "dora-s1"]
    assert facts["flat"] is True
    assert artifact.read("base/dora-s0/weights.safetensors") == b"w0"
    assert artifact.read("report.html") == b"<p>"
    np.testing.assert_array_equal(again.predict(TABLES), regressor.predict(TABLES))


def test_a_second_write_of_the_same_stack_has_the_same_bytes(regressor, tmp_path):
    for name in ("one", "two"):
        write_stack(tmp_path / name, regressor, BASES, {})
    assert read_json(tmp_path / "one" / "manifest.json") == read_json(
        tmp_path / "two" / "manifest.json"
    )


@pytest.mark.parametrize("name", ["../up", "a/b", "a\\b", ".hidden", "", "new\nline"])
def test_a_base_model_whose_name_is_no_folder_is_refused(name, tmp_path):
    rows = rows_of_tables(TABLES, np.full((30, 1), 3.0))
    regressor = MetaRegressor("mean").fit(TABLES, rows)
    with pytest.raises(UsageError, match="cannot be saved under these names"):
        write_stack(tmp_path / "stack", regressor, {name: {"config.json": b"{}"}}, {})
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_no_stack_is_refused(tmp_path):
    with pytest.raises(UsageError, match="does not exist"):
        read_stack(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="was never finished"):
        read_stack(tmp_path)
    write_json(tmp_path / "stack.json", {"folder": "meta/ridge-1"})
    with pytest.raises(UsageError, match=r"artifacts, in which .* is .*/meta/"):
        read_stack(tmp_path)
    write_json(tmp_path / "stack.json", {"bases": []})
    seal(tmp_path, "base model")
    with pytest.raises(UsageError, match="is a 'base model', not a 'stack'"):
        read_stack(tmp_path)
    seal(tmp_path, "stack")
    with pytest.raises(DamagedArtifact, match="not a stack of this version"):
        read_stack(tmp_path)


def test_a_file_that_does_not_fit_the_facts_is_noticed_even_when_sealed(
    regressor, tmp_path
):
    write_stack(tmp_path, regressor, BASES, {})
    facts = read_json(tmp_path / "stack.json")
    facts["meta"]["residual_sigma"] = [0.0]
    write_json(tmp_path / "stack.json", facts)
    with pytest.raises(DamagedArtifact, match="was changed after it was written"):
        read_stack(tmp_path)
    seal(tmp_path, "stack")
    with pytest.raises(DamagedArtifact, match="one positive sigma per aspect"):
        read_stack(tmp_path)


def test_a_table_in_a_stack_of_an_earlier_version_is_read(tmp_path):
    scores = np.random.default_rng(0).uniform(1, 5, (3, 1))
    table = PredictionTable.from_scores("m", ["a", "b", "c"], ["mos"], scores)
    atomic_write(tmp_path / "base/old/predictions.parquet", table.to_bytes())
    for name, data in files_of("new", table).items():
        atomic_write(tmp_path / "base/new" / name, data)
    seal(tmp_path, "stack")
    artifact = Artifact(tmp_path, "stack")
    for name in ("old", "new"):
        assert stored_table(artifact, name).to_bytes() == table.to_bytes()
    assert stored_table(artifact, "other") is None
