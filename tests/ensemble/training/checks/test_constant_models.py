"""Base models that learnt nothing are named where people look."""

from __future__ import annotations

import json

import pytest
from commands import call, short_settings, small_demo
from plugins import importable, write_affine

from ensemble.training.checks.constant_models import ConstantModel, constant_sentence


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return small_demo(tmp_path_factory.mktemp("demo") / "tree")


def test_a_model_of_embeddings_that_are_too_small_is_named(tree, tmp_path):
    write_affine(tmp_path)
    artifacts = tmp_path / "artifacts"
    encoders = ["dora=tiny", "dora_coral=logmel"]
    words = ["--data", tree, "--aspects", "mi", "--jobs", 1, "--artifacts", artifacts]
    words += ["--models", "dora:1", "dora_coral:1", "--audio-encoder", *encoders]
    with importable(tmp_path, "affine"), short_settings(6):
        code, _, err = call("fit_base", *words)
        assert code == 0, err
        # Standardised, as this encoder does not say that it is normalised.
        assert "constant predictions" not in err

        code, _, err = call("fit_base", *words, "--set", "standardise=never")
        assert code == 0, err
        assert "trained 1 of 2 base models (1 were there already)" in err
        (line,) = [it for it in err.splitlines() if "constant predictions" in it]
        assert "constant predictions: dora-s0 (mi) spread less than 1 % of" in line

        code, out, err = call("fit_meta", "--artifacts", artifacts, "--learner", "mean")
        assert code == 0, err
    (report,) = artifacts.glob("**/report.json")
    told = json.loads(report.read_text())
    rows = told["order"][0]
    assert told["constant_models"] == {rows: {"mi": ["dora-s0"]}}
    sentence = "Predicts nearly the same for every clip: mi: dora-s0"
    assert sentence in report.with_suffix(".html").read_text()
    assert "predicts nearly the same" in " ".join((out + err).split())


def test_many_models_are_counted_and_none_makes_no_sentence():
    assert constant_sentence([]) == ""
    aspects = ("mi", "ta")
    constant = [
        ConstantModel(f"dora-s{seed}", aspects, standardised=seed > 0)
        for seed in range(8)
    ]
    sentence = constant_sentence(constant)
    assert "dora-s2 (mi, ta) and 5 more spread" in sentence
    assert "standardise=always" in sentence
    assert len(sentence) <= 500
    # What is standardised already has another cause.
    assert "standardise" not in constant_sentence(constant[1:])
