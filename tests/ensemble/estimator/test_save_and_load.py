"""A stack on disk is whole or refused, and says what it is."""

import numpy as np
import pytest
from builders import rows_of_tables

from base_models.errors import DamagedArtifact, UsageError
from base_models.files import read_json, seal, write_json
from base_models.predictions import PredictionTable
from ensemble.estimator.save_and_load import read_stack, write_stack
from meta.regressor import MetaRegressor

BASES = {
    "dora-s0": {"config.json": b"{}", "weights.safetensors": b"w0"},
    "dora-s1": {"config.json": b"{}"},
}


def tables(n=30):
    rng = np.random.default_rng(0)
    ids = [f"c{k}" for k in range(n)]
    return [
        PredictionTable.from_scores(name, ids, ["mi"], rng.uniform(1, 5, (n, 1)))
        for name in BASES
    ]


@pytest.fixture(params=["ridge", "lightgbm", "mean"])
def regressor(request):
    labels = np.random.default_rng(1).uniform(1, 5, (30, 1))
    rows = rows_of_tables(tables(), labels)
    return MetaRegressor(request.param).fit(tables(), rows)


def test_what_is_written_is_read_back(regressor, tmp_path):
    write_stack(tmp_path, regressor, BASES, {"flat": True}, {"report.html": b"<p>"})
    artifact, facts, again = read_stack(tmp_path)
    assert facts["bases"] == ["dora-s0", "dora-s1"]
    assert facts["flat"] is True
    assert artifact.read("base/dora-s0/weights.safetensors") == b"w0"
    assert artifact.read("report.html") == b"<p>"
    np.testing.assert_array_equal(again.predict(tables()), regressor.predict(tables()))


def test_a_second_write_of_the_same_stack_has_the_same_bytes(regressor, tmp_path):
    for name in ("one", "two"):
        write_stack(tmp_path / name, regressor, BASES, {})
    assert read_json(tmp_path / "one" / "manifest.json") == read_json(
        tmp_path / "two" / "manifest.json"
    )


@pytest.mark.parametrize("name", ["../up", "a/b", "a\\b", ".hidden", "", "new\nline"])
def test_a_base_model_whose_name_is_no_folder_is_refused(name, tmp_path):
    rows = rows_of_tables(tables(), np.full((30, 1), 3.0))
    regressor = MetaRegressor("mean").fit(tables(), rows)
    with pytest.raises(UsageError, match="cannot be saved under these names"):
        write_stack(tmp_path / "stack", regressor, {name: {"config.json": b"{}"}}, {})
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_no_stack_is_refused(tmp_path):
    with pytest.raises(UsageError, match="does not exist"):
        read_stack(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="was never finished"):
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
