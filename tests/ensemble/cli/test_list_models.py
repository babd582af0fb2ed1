"""Laws of list_models: the papers' sizes, from the models themselves, offline."""

import json
import socket

import pytest
from commands import call, refused

from base_models.model_presets import ALL_MODELS, read_preset
from base_models.pooled_config import POOLED_MODELS
from ensemble.papers.model_costs import model_costs


@pytest.fixture(scope="module")
def costs():
    return {cost.preset: cost for cost in model_costs()}


def test_every_preset_is_counted_with_the_encoders_of_its_paper(costs):
    assert tuple(costs) == ALL_MODELS
    pairs = {name: (c.audio_encoder, c.text_encoder) for name, c in costs.items()}
    assert pairs["dora"] == pairs["dora_coral"] == ("muq", "roberta")
    assert pairs["whisq_wav2vec2_modernbert"] == ("wav2vec2", "modernbert")
    assert pairs["whisq"][1] == "qwen3"


def test_sizes_are_those_of_the_papers_arithmetic(costs):
    # DORA-MOS as published; WhisQ as its equations read, with both encoders.
    assert costs["dora"].network.parameters == 13_177_706
    assert costs["dora_l1"].network.parameters == 13_169_156
    assert costs["clap_baseline"].network.parameters == 426_754
    whisq = costs["whisq"]
    assert whisq.network.parameters == 2_101_248 + 426_754 + 524_800 == 3_052_802
    assert whisq.total.parameters == 20_590_592 + 596_049_920 + 3_052_802
    assert costs["whisq_no_ot"].total == whisq.total
    assert costs["dora_mean"].network.macs < costs["dora"].network.macs


def test_the_command_prints_and_writes_the_same_without_a_network(
    costs, tmp_path, monkeypatch
):
    def refuse(*args, **kwargs):
        raise AssertionError("a network was asked")

    monkeypatch.setattr(socket, "socket", refuse)
    file = tmp_path / "models.json"
    code, out, err = call("list_models", "whisq", "dora", "--json", file)
    assert (code, err) == (0, f"written: {file}\n")
    facts = json.loads(file.read_text())
    assert [model["preset"] for model in facts["models"]] == ["whisq", "dora"]
    for model in facts["models"]:
        cost = costs[model["preset"]]
        assert model["trainable_parameters"] == cost.network.parameters
        assert model["gmacs"] == cost.total.macs / 1e9
        (line,) = [li for li in out.splitlines() if li.split()[:1] == [cost.preset]]
        assert f"{cost.network.parameters:,}" in line
        assert f"{cost.total.parameters / 1e6:.2f}" in line
    words = " ".join(out.split())
    assert (
        "states 2.66 M trainable parameters, 619.45 M in all and 32.54 GMACs" in words
    )
    assert "Ours has 3,052,802" in words


def test_the_papers_figures_stand_beside_whisq_alone():
    _, out, _ = call("list_models", "clap_baseline")
    assert "32.54" not in out


def test_an_unknown_preset_is_refused():
    refused(2, call("list_models", "whiq"), "Unknown preset 'whiq'. Did you mean 'whis")


def test_models_on_pooled_embeddings_have_encoders_and_nothing_trainable(
    costs, tmp_path
):
    file = tmp_path / "models.json"
    code, out, _ = call("list_models", *POOLED_MODELS, "dora", "--json", file)
    assert code == 0
    *pooled, dora = json.loads(file.read_text())["models"]
    assert [model["preset"] for model in pooled] == list(POOLED_MODELS)
    for model in pooled:
        assert model["architecture"] == "pooled"
        assert model["criterion"] == read_preset(model["preset"]).regressor
        assert model["trainable_parameters"] is None
        frozen = dora["total_parameters"] - dora["trainable_parameters"]
        assert model["total_parameters"] == frozen
        (line,) = [li for li in out.splitlines() if li.startswith(model["preset"])]
        assert line.split().count("-") == 2
    assert "nothing is trainable in this sense (-)" in " ".join(out.split())
    _, out, _ = call("list_models", "dora")
    assert "pooled" not in out


def test_a_wrong_name_is_refused_with_the_nearest_preset_of_any_family():
    refused(2, call("list_models", "pooled_gb"), "'pooled_gp'")
