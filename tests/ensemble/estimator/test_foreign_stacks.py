"""Laws of stacks that a stranger wrote, and of the one that was asked for."""

import json

import numpy as np
import pytest
from builders import Predictor, prediction_tables, rows_of_tables

from base_models.errors import DamagedArtifact, UsageError
from base_models.files import Artifact, manifest_of, sha256
from ensemble.estimator.base_model_files import files_of
from ensemble.estimator.save_and_load import read_stack, write_stack
from ensemble.estimator.stacked_mos import StackedMOS
from ensemble.hub.stack_contents import stack_contents
from meta.regressor import MetaRegressor

LABELS = np.random.default_rng(1).uniform(1, 5, (30, 1))
TABLES = prediction_tables(
    LABELS, dict.fromkeys(("a", "b"), Predictor(noise=1.0)), aspects=["mi"]
)


@pytest.fixture
def folder(tmp_path):
    regressor = MetaRegressor("mean").fit(TABLES, rows_of_tables(TABLES, LABELS))
    bases = {table.model: files_of(table.model, table) for table in TABLES}
    write_stack(tmp_path / "stack", regressor, bases, {"flat": False})
    return tmp_path / "stack"


def rewritten(folder, change):
    """Change stack.json as somebody does who can write the manifest too."""
    path = folder / "stack.json"
    facts = json.loads(path.read_text())
    change(facts)
    path.write_text(json.dumps(facts))
    hashes = dict(Artifact(folder, "stack").facts["files"])
    hashes["stack.json"] = sha256(path.read_bytes())
    (folder / "manifest.json").write_bytes(manifest_of("stack", hashes))


def test_the_stack_that_is_asked_for_is_loaded_and_no_other(folder):
    known = stack_contents(folder).sha256
    assert known == Artifact(folder, "stack").root_hash
    StackedMOS.load(folder, expect_sha256=known)
    StackedMOS.from_pretrained(folder, expect_sha256=f" {known.upper()}\n")

    # Its manifest is right of what it holds now.
    rewritten(folder, lambda facts: facts.update(source="elsewhere"))
    StackedMOS.load(folder)
    with pytest.raises(DamagedArtifact, match=f"not what is expected.*{known} was"):
        StackedMOS.load(folder, expect_sha256=known)


def test_a_hash_that_is_none_is_refused(folder):
    with pytest.raises(UsageError, match="A SHA-256 is 64 hexadecimal digits; got 'a"):
        StackedMOS.load(folder, expect_sha256="abc")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda f: f.update(bases=["../../a"]), "'bases' holds a name twice, or one"),
        (lambda f: f.update(bases=["a", "a"]), "'bases' holds a name twice, or one"),
        (lambda f: f.update(bases="ab"), "'bases' is no list of names"),
        (lambda f: f.update(bases=[["a"], 1]), "'bases' is no list of names"),
        (lambda f: f.update(meta=[]), "'meta' is no mapping"),
        (lambda f: f.update(demo="yes"), "'demo' is a str"),
        (lambda f: f.update(disagreement="x"), "'disagreement' is a str"),
        (lambda f: f["meta"].update(aspects=["mi", ["x"]]), "aspects must be a list"),
        (lambda f: f["meta"].update(aspects=[]), "aspects must be different names"),
        (
            lambda f: f["meta"].update(aspects=[f"a{k}" for k in range(100_000)]),
            "there are 100,000 aspects, and at most 1,000 may be",
        ),
        (lambda f: f["meta"].update(fitted_on=None), "clips must be a list of texts"),
        (lambda f: f["meta"].update(warnings=[1]), "warnings must be a list of texts"),
        (lambda f: f["meta"].update(random_state=[]), "The stored stack is damaged"),
        (lambda f: f["meta"].update(layout=5), "The stack's list of base|stack is dam"),
        (lambda f: f.update(scales={"inner": [1]}), "The stack's scales are not of"),
    ],
)
def test_values_of_another_kind_are_one_documented_error(change, words, folder):
    rewritten(folder, change)
    with pytest.raises(DamagedArtifact, match=words) as refused:
        StackedMOS.load(folder)
    assert len(str(refused.value)) <= 500


def test_a_file_that_is_a_link_out_is_neither_loaded_nor_inspected(folder, tmp_path):
    path = folder / "stack.json"
    path.rename(tmp_path / "elsewhere.json")
    path.symlink_to(tmp_path / "elsewhere.json")
    with pytest.raises(DamagedArtifact, match="is a link that leads out of"):
        read_stack(folder)
    with pytest.raises(DamagedArtifact, match="is a link that leads out of"):
        stack_contents(folder)
