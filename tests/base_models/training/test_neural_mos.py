"""Laws of NeuralMOS: distributions of the clip alone, encoders that never move, files
that say what they are."""

import copy
import pickle
import shutil

import numpy as np
import pytest
import safetensors.torch
import torch
from builders import clip_table, noises
from raters import ratings_for
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted
from tiny_networks import embedded_model, weights_of

from base_models.bins import ScoreBins
from base_models.clips.labels import mean_label
from base_models.clips.splits import stratified_holdout
from base_models.config import MODELS, BaseConfig
from base_models.encoders import load_encoder, state_digest
from base_models.encoders.store import EmbeddingStore
from base_models.errors import ClipError, DamagedArtifact, UsageError
from base_models.files import seal
from base_models.metrics.evaluate import srcc
from base_models.networks.batches import EmbeddedClips
from base_models.networks.models import CoAttention
from base_models.predictions import PredictionTable
from base_models.training.neural_mos import NeuralMOS

RATE = 24_000
ASPECTS = ["mi", "ta"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("neural")


@pytest.fixture(scope="module")
def clips(folder):
    """12 clips of noise, 0.5 to 1 s; ``mi`` follows their loudness, ``ta`` runs the
    other way."""
    k = np.arange(12)
    sounds = noises(10 ** (0.2 * k - 2.4), 0.5 + 0.04 * (5 * k % 12))
    prompts = ("a sad violin", "slow piano and drums")
    labels = {"mi": 1.3 + 0.3 * k, "ta": 4.7 - 0.3 * k}
    return clip_table(folder, sounds, systems=3, prompts=prompts, **labels)


@pytest.fixture(scope="module")
def model(folder):
    """A maker of small, quick models on the embedded encoders."""

    def make(preset="dora", changes=(), **params):
        settings = {"learning_rate": 1e-3, "batch_size": 4} | dict(changes)
        return embedded_model(preset, settings, **{"store": folder / "store"} | params)

    return make


@pytest.fixture(scope="module")
def fitted(model, clips):
    return model().fit(clips, clips[ASPECTS])


# predictions


@pytest.mark.parametrize("preset", MODELS)
def test_predictions_are_distributions_and_scores_on_the_scale(preset, model, clips):
    fitted = model(preset).fit(
        clips, clips[ASPECTS], ratings=ratings_for(preset, clips, ASPECTS)
    )
    distributions, scores = fitted.predict_distribution(clips), fitted.predict(clips)
    assert (distributions.shape, distributions.dtype) == ((12, 2, 20), np.float64)
    np.testing.assert_allclose(distributions.sum(-1), 1, atol=1e-12)
    assert (distributions >= 0).all()
    assert scores.shape == (12, 2)
    assert ((scores >= 1) & (scores <= 5)).all()


def test_a_clip_alone_predicts_what_it_predicts_in_any_company_and_order(fitted, clips):
    together = fitted.predict_distribution(clips)
    alone = np.concatenate(
        [fitted.predict_distribution(clips.iloc[[row]]) for row in range(12)]
    )
    order = np.random.default_rng(0).permutation(12)
    np.testing.assert_allclose(alone, together, atol=2e-6)
    np.testing.assert_allclose(
        fitted.predict_distribution(clips.iloc[order]), together[order], atol=2e-6
    )
    assert fitted.predict(clips.iloc[:0]).shape == (0, 2)


@pytest.mark.parametrize("preset", ["dora", "dora_coral"])
def test_the_network_can_learn_twelve_clips(preset, model, clips):
    changes = {"max_epochs": 25, "patience": 25, "learning_rate": 2e-3}
    fitted = model(preset, changes).fit(clips, clips[ASPECTS])
    scores = fitted.predict(clips)
    assert (
        min(srcc(clips[aspect], scores[:, a]) for a, aspect in enumerate(ASPECTS)) > 0.9
    )
    assert np.ptp(scores, axis=0).min() > 1


def test_a_prediction_table_remembers_what_the_model_has_seen(fitted, clips):
    table = fitted.prediction_table("dora-s0", clips["clip_id"], fitted.embed(clips)[1])
    assert table.aspects == ("mi", "ta")
    np.testing.assert_array_equal(table.scores, fitted.predict(clips))
    assert (table.trained_on, table.selected_on) == (
        fitted.trained_on_,
        fitted.selected_on_,
    )


# what a fit depends on


def test_the_seed_decides_and_nothing_else(model, clips, fitted):
    torch.manual_seed(99)
    state = torch.get_rng_state()
    assert weights_of(model().fit(clips, clips[ASPECTS])) == weights_of(fitted)
    assert torch.equal(torch.get_rng_state(), state)
    assert weights_of(
        model(random_state=np.int64(0), store=None).fit(clips, clips[ASPECTS])
    ) == weights_of(fitted)
    assert weights_of(model(random_state=1).fit(clips, clips[ASPECTS])) != weights_of(
        fitted
    )


def test_held_out_clips_are_those_of_the_labelled_and_disjoint_from_the_trained(
    model, clips
):
    y = clips[ASPECTS].copy()
    y.iloc[[0, 7]] = np.nan
    y.iloc[3, 1] = np.nan
    fitted = model(changes={"inner_validation": 0.3}).fit(clips, y)
    assert not fitted.trained_on_ & fitted.selected_on_
    assert fitted.trained_on_ | fitted.selected_on_ == set(clips["clip_id"]) - {
        "c00",
        "c07",
    }
    assert len(fitted.selected_on_) == 3


def test_where_nothing_is_selected_all_labelled_clips_are_trained_on(
    model, clips, tmp_path
):
    y = clips[ASPECTS].copy()
    y.iloc[[0, 7]] = np.nan
    groups = ["all of one"] * 12
    fitted = model("whisq").fit(clips, y, groups=groups)
    labelled = set(clips["clip_id"]) - {"c00", "c07"}
    assert (fitted.trained_on_, fitted.selected_on_) == (labelled, frozenset())
    assert [record["loss"] for record in fitted.history_] == [None, None]

    fitted.save(tmp_path / "m")
    again = NeuralMOS.load(tmp_path / "m")
    assert (again.trained_on_, again.selected_on_) == (labelled, frozenset())
    assert again.history_ == fitted.history_
    table = fitted.prediction_table("m", clips["clip_id"], fitted.embed(clips)[1])
    back = PredictionTable.parse(table.to_bytes(), "m")
    assert (back.trained_on, back.selected_on) == (labelled, frozenset())

    with pytest.raises(UsageError, match="at least 4 labelled clips; got 3"):
        model("whisq").fit(clips, y.iloc[:4].reindex(range(12)))


def test_selecting_without_clips_to_select_on_is_refused_with_the_cure(model, clips):
    for changes in ({"select_on": "loss"}, {"select_on": "srcc"}):
        with pytest.raises(UsageError, match="Set select_on = 'last', or inner_valid"):
            model("whisq", changes).fit(clips, clips[ASPECTS])
    share = {"select_on": "srcc", "inner_validation": 0.3}
    assert model("whisq", share).fit(clips, clips[ASPECTS]).selected_on_


def test_a_model_of_audio_alone_needs_no_prompt_for_any_aspect(model, clips):
    fitted = model("muq_eval", text_encoder="nonsense").fit(
        clips.drop(columns="prompt"), clips[ASPECTS]
    )
    assert fitted.needs_text_ == (False, False)
    assert set(fitted.encoders_) == {"audio"}
    other = clips.assign(prompt="something else")
    np.testing.assert_array_equal(fitted.predict(other), fitted.predict(clips))


def test_only_the_first_seconds_of_a_clip_are_read(model, clips, tmp_path):
    """At 12.5 frames a second 0.25 s are 3 frames."""
    changes = {"max_seconds": 0.25}
    fitted = model("muq_eval", changes).fit(clips, clips[ASPECTS])
    embedded = fitted.embed(clips)[1]
    cut = EmbeddedClips([frames[:3] for frames in embedded.frames])
    assert min(len(frames) for frames in embedded.frames) > 3
    expected = fitted.predict_embedded(cut)
    np.testing.assert_allclose(fitted.predict_embedded(embedded), expected, atol=1e-6)
    for clip, frames in zip(
        fitted.explain_embedded(embedded), embedded.frames, strict=True
    ):
        for attention in clip:
            time = attention.maps["time"]
            assert len(time) == len(frames)
            assert time[:3].sum() == pytest.approx(1)
            assert not time[3:].any()

    fitted.save(tmp_path / "m")
    again = NeuralMOS.load(tmp_path / "m", store=fitted.store)
    np.testing.assert_array_equal(again.predict(clips), fitted.predict(clips))
    whole = model("muq_eval", {"max_seconds": 0.0}).fit(clips, clips[ASPECTS])
    assert weights_of(whole) != weights_of(fitted)


def test_a_cut_shorter_than_a_frame_is_refused_before_anything_is_embedded(
    model, clips
):
    broken = clips.assign(audio="/nowhere")
    with pytest.raises(
        UsageError, match=r"max_seconds = 0.05 .* one frame stands for 0.08 s"
    ):
        model("muq_eval", {"max_seconds": 0.05}).fit(broken, clips[ASPECTS])


def test_a_clip_of_weight_zero_could_as_well_be_absent(model, clips):
    zero, others = np.ones(12), [row for row in range(12) if row != 4]
    zero[4] = 0
    with_it = model().fit(clips, clips[ASPECTS], sample_weight=zero)
    without = model().fit(clips.iloc[others], clips[ASPECTS].iloc[others])
    assert weights_of(with_it) == weights_of(without)
    assert "c04" not in with_it.trained_on_ | with_it.selected_on_


def test_an_aspect_that_some_clips_lack_is_trained_on_the_others(model, clips):
    y = clips[ASPECTS].copy()
    y.iloc[1::3, 1] = np.nan
    fitted = model(changes={"max_epochs": 30, "patience": 30}).fit(clips, y)
    assert srcc(clips["ta"], fitted.predict(clips)[:, 1]) > 0.8


@pytest.mark.parametrize("kind", ["list", "Series", "column"])
def test_one_aspect_gives_one_dimension(kind, model, clips):
    y = {"list": clips["mi"].tolist(), "Series": clips["mi"], "column": clips[["mi"]]}[
        kind
    ]
    fitted = model().fit(clips.drop(columns="prompt"), y)
    assert fitted.aspects_ == ("mos" if kind == "list" else "mi",)
    assert fitted.predict(clips).shape == (12,)
    assert fitted.predict_distribution(clips).shape == (12, 1, 20)
    assert np.isfinite(fitted.score(clips, clips["mi"]))


def test_five_aspects_without_text_need_no_prompt_and_no_text_encoder(model, clips):
    y = np.linspace(1, 5, 60).reshape(12, 5)
    fitted = model(text_encoder="nonsense").fit(clips[["clip_id", "audio"]], y)
    assert fitted.predict(clips[["clip_id", "audio"]]).shape == (12, 5)
    assert set(fitted.encoders_) == {"audio"}


def test_text_aspects_may_be_named(model, clips):
    fitted = model(text_aspects=["mi"]).fit(clips, clips[ASPECTS])
    assert fitted.needs_text_ == (True, False)
    other = fitted.predict(clips.assign(prompt="something else"))
    assert np.abs(other - fitted.predict(clips))[:, 0].min() > 0
    np.testing.assert_array_equal(other[:, 1], fitted.predict(clips)[:, 1])


def test_another_scale_is_kept_to(model, clips):
    fitted = model(
        changes={"bins": {"low": 0, "high": 100, "count": 10}, "sigma": 5.0}
    ).fit(clips, clips["mi"] * 20)
    assert fitted.config_.bins == ScoreBins(0, 100, 10)
    assert fitted.predict_distribution(clips).shape == (12, 1, 10)
    assert 10 < fitted.predict(clips).mean() < 90


@pytest.fixture(scope="module")
def specs(tiny_encoders):
    return {
        f"{kind}_encoder": f"{name}={tiny_encoders[name]}"
        for kind, name in [("audio", "muq"), ("text", "roberta")]
    }


def test_encoders_stay_as_they_are_through_fit_and_predict(model, clips, specs):
    encoders = [load_encoder(spec) for spec in specs.values()]
    before = [state_digest(encoder) for encoder in encoders]
    for encoder in encoders:
        encoder.module.train()  # as a careless caller might
    fitted = model(store=None, **specs).fit(clips, clips[ASPECTS])
    fitted.predict(clips)
    assert [state_digest(encoder) for encoder in encoders] == before
    assert not any(
        p.requires_grad for encoder in encoders for p in encoder.module.parameters()
    )
    assert {facts["dim"] for facts in fitted.encoders_.values()} == {16, 32}


def test_other_encoder_weights_than_those_trained_with_are_refused(
    model, clips, specs, tiny_encoders, tmp_path
):
    model(**specs).fit(clips, clips[ASPECTS]).save(tmp_path / "m")
    moved = f"muq={shutil.copytree(tiny_encoders['muq'], tmp_path / 'muq')}"
    options = {"store": tmp_path / "s", "device": "cpu"}
    assert NeuralMOS.load(tmp_path / "m", audio_encoder=moved, **options).predict(
        clips
    ).shape == (12, 2)
    other = shutil.copytree(tiny_encoders["muq"], tmp_path / "other")
    tensors = safetensors.torch.load_file(other / "model.safetensors")
    name = next(
        name for name in tensors if name.endswith("conv.conv.0.bn1.running_mean")
    )
    safetensors.torch.save_file(
        tensors | {name: tensors[name] + 1e-6}, other / "model.safetensors"
    )
    for spec in (f"muq={other}", "logmel"):
        with pytest.raises(
            UsageError, match=r"trained with muq-v1-\w+, but audio encoder"
        ):
            NeuralMOS.load(tmp_path / "m", audio_encoder=spec, **options).predict(clips)


# files


def test_a_loaded_model_predicts_the_same_bit_for_bit_and_nothing_is_unpickled(
    model, clips, folder, tmp_path, monkeypatch
):
    fitted = model("dora_coral", text_aspects=["mi"]).fit(clips, clips[ASPECTS])
    fitted.save(tmp_path / "m")
    names = {"config.json", "weights.safetensors", "history.json", "manifest.json"}
    assert {path.name for path in (tmp_path / "m").iterdir()} == names
    for module, name in [
        (pickle, "load"),
        (pickle, "loads"),
        (pickle, "Unpickler"),
        (torch, "load"),
    ]:
        monkeypatch.setattr(module, name, None)
    loaded = NeuralMOS.load(tmp_path / "m", store=folder / "store", device="cpu")
    assert (
        loaded.predict_distribution(clips).tobytes()
        == fitted.predict_distribution(clips).tobytes()
    )
    assert loaded.to_files() == fitted.to_files()
    for name in (
        "config_",
        "aspects_",
        "needs_text_",
        "trained_on_",
        "selected_on_",
        "history_",
        "encoders_",
    ):
        assert getattr(loaded, name) == getattr(fitted, name)


def test_a_loaded_model_can_be_fitted_again_as_it_was(model, clips, folder, tmp_path):
    fitted = model("dora_coral", text_aspects=["mi"], random_state=5).fit(
        clips, clips[ASPECTS]
    )
    fitted.save(tmp_path / "m")
    again = clone(NeuralMOS.load(tmp_path / "m", store=folder / "store", device="cpu"))
    assert weights_of(again.fit(clips, clips[ASPECTS])) == weights_of(fitted)


@pytest.mark.parametrize("name", ["weights.safetensors", "config.json", "history.json"])
def test_a_changed_byte_is_a_damaged_artifact(name, fitted, tmp_path):
    fitted.save(tmp_path)
    data = bytearray((tmp_path / name).read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / name).write_bytes(data)
    with pytest.raises(
        DamagedArtifact, match=rf"{name} was changed after it was written"
    ):
        NeuralMOS.load(tmp_path)


def test_files_that_do_not_fit_each_other_are_a_damaged_artifact(
    fitted, model, clips, tmp_path
):
    fitted.save(tmp_path)
    one_aspect = model().fit(clips, clips["mi"])
    (tmp_path / "weights.safetensors").write_bytes(weights_of(one_aspect))
    seal(tmp_path, "base model")
    with pytest.raises(DamagedArtifact, match="not a base model of this version"):
        NeuralMOS.load(tmp_path)


def test_a_folder_without_a_model_and_an_unknown_override_are_refused(fitted, tmp_path):
    with pytest.raises(
        UsageError, match="does not exist; expected the folder of a finished base model"
    ):
        NeuralMOS.load(tmp_path / "none")
    fitted.save(tmp_path)
    with pytest.raises(
        UsageError,
        match=r"Unknown parameter of NeuralMOS 'devise'\. Did you mean 'device'",
    ):
        NeuralMOS.load(tmp_path, devise="cpu")


def test_weights_that_became_nan_are_never_predicted_with(model, clips):
    fitted = model().fit(clips, clips["mi"])
    next(fitted.model_.parameters()).data.fill_(float("nan"))
    with pytest.raises(DamagedArtifact, match="The network gave NaN or infinity"):
        fitted.predict(clips)


def test_a_clone_is_unfitted_and_fits_the_same(fitted, clips):
    fresh = clone(fitted)
    with pytest.raises(
        NotFittedError, match="This NeuralMOS instance is not fitted yet"
    ):
        check_is_fitted(fresh)
    assert fresh.get_params() == fitted.get_params()
    assert weights_of(fresh.fit(clips, clips[ASPECTS])) == weights_of(fitted)


def test_parameters_go_round():
    params = NeuralMOS().get_params()
    assert NeuralMOS(**params).get_params() == params
    changed = NeuralMOS().set_params(preset="dora_coral", random_state=7)
    assert changed.get_params() == params | {"preset": "dora_coral", "random_state": 7}
    with pytest.raises(ValueError, match="Invalid parameter 'prest'"):
        changed.set_params(prest="dora")


def test_a_config_and_a_store_may_be_passed_as_objects(model, clips, fitted):
    store = EmbeddingStore(None)
    config = BaseConfig().updated(
        {"max_epochs": 2, "learning_rate": 1e-3, "batch_size": 4}, "test"
    )
    assert weights_of(
        model(config, store=store).fit(clips, clips[ASPECTS])
    ) == weights_of(fitted)


@pytest.mark.parametrize(
    "method", ["predict", "predict_distribution", "embed", "save", "predict_embedded"]
)
def test_before_a_fit_nothing_can_be_predicted_or_saved(method, model, clips):
    with pytest.raises(NotFittedError, match="not fitted yet"):
        getattr(model(), method)(clips)


def test_a_fit_that_was_interrupted_leaves_nothing_to_predict_with(model, clips):
    def interrupt(record):
        raise KeyboardInterrupt

    fitted = model().fit(clips, clips[ASPECTS]).set_params(on_epoch=interrupt)
    with pytest.raises(KeyboardInterrupt):
        fitted.fit(clips, clips[ASPECTS])
    with pytest.raises(NotFittedError, match="not fitted yet"):
        fitted.predict(clips)


# what is refused


def test_labels_that_cannot_be_trained_on_are_refused_before_anything_is_embedded(
    model, clips
):
    clips = clips.assign(audio="/nowhere")
    nan, y = np.nan, clips[ASPECTS]
    for labels, message in [
        (y[:3].reindex(range(12)), "Training needs at least 4 labelled clips; got 3"),
        (
            y.replace(1.3, 0.9),
            "Label 0.9 of aspect 'mi' in row 0 is off the scale 1..5",
        ),
        (y[:11], "There are 12 clips but 11 rows of labels"),
        (y.assign(ta=nan), "Aspect 'ta' has no label at all"),
        (y.astype(str).replace("1.3", "loud"), "Labels must be numbers"),
    ]:
        with pytest.raises(UsageError, match=message):
            model().fit(clips, labels)
    refused = 0
    for row in range(12):
        once = y.assign(ta=y["ta"].where(y.index == row))
        if stratified_holdout(
            clips["system_id"], mean_label(once.to_numpy()), 0.5, seed=0
        )[row]:
            with pytest.raises(
                UsageError,
                match="Aspect 'ta' has too few labels: with 6 of 12 clips held out",
            ):
                model(changes={"inner_validation": 0.5}).fit(clips, once)
            refused += 1
    assert refused
    with pytest.raises(UsageError, match="at least 4 labelled clips; got 2"):
        model().fit(clips, y, sample_weight=[1, 1] + [0] * 10)
    for bad, message in [
        (-np.ones(12), "Negative values"),
        (np.ones(3), "sample_weight.shape"),
        ([nan] * 12, "NaN"),
    ]:
        with pytest.raises(ValueError, match=message):
            model().fit(clips, y, sample_weight=bad)


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (
            {"audio": "/nowhere/c05.wav"},
            "Clip 'c05': there is no file '/nowhere/c05.wav'",
        ),
        ({"audio": ""}, "Clip 'c05': it has no audio file"),
    ],
)
def test_a_clip_that_cannot_be_used_is_named(cells, message, model, fitted, clips):
    broken = clips.astype(object)
    broken.loc[5, list(cells)] = list(cells.values())
    for run in (
        lambda: model().fit(broken, clips[ASPECTS]),
        lambda: fitted.predict(broken),
    ):
        with pytest.raises(ClipError, match=message):
            run()


@pytest.mark.parametrize("blank", ["", "  ", None, np.nan])
def test_of_a_clip_without_a_prompt_the_text_aspects_are_neither_learnt_nor_predicted(
    blank, model, clips
):
    some = clips.astype({"prompt": object})
    some.loc[5, "prompt"] = blank
    y = clips[ASPECTS].copy()
    other_labels = y.copy()
    other_labels.loc[5, "ta"] = 1.0 if y.loc[5, "ta"] > 3 else 5.0
    y_without = y.copy()
    y_without.loc[5, "ta"] = np.nan

    # Whatever label of ta the table gives, nothing is learnt from it.
    predicted = [
        model().fit(some, labels).predict(some)
        for labels in (y, other_labels, y_without)
    ]
    np.testing.assert_array_equal(predicted[0], predicted[1])
    np.testing.assert_array_equal(predicted[0], predicted[2])
    missing = np.isnan(predicted[0])
    assert np.argwhere(missing).tolist() == [[5, ASPECTS.index("ta")]]


def test_a_clip_without_a_prompt_still_counts_for_the_music(model, clips):
    some = clips.assign(prompt=clips["prompt"].where(clips.index != 5, ""))
    y = clips[ASPECTS].copy()
    fitted = model().fit(some, y)
    y.loc[5, "mi"] = 1.0 if y.loc[5, "mi"] > 3 else 5.0
    other = model().fit(some, y)
    assert (fitted.predict(clips)[:, 0] != other.predict(clips)[:, 0]).any()
    assert "c05" in fitted.trained_on_ | fitted.selected_on_


def test_where_every_aspect_needs_a_prompt_a_clip_without_one_is_refused(model, clips):
    some = clips.assign(prompt=clips["prompt"].where(clips.index != 5, ""))
    with pytest.raises(ClipError, match="Clip 'c05': no prompt"):
        model(text_aspects=ASPECTS).fit(some, clips[ASPECTS])


def test_an_alignment_is_not_learnt_from_placeholders(monkeypatch, model, clips):
    seen = []
    auxiliary = CoAttention.auxiliary

    def watched(network, batch, context=None, labels=None):
        seen.append(len(batch.frames))
        return auxiliary(network, batch, context, labels)

    monkeypatch.setattr(CoAttention, "auxiliary", watched)
    some = clips.assign(prompt=clips["prompt"].where(clips.index >= 6, ""))
    changes = {"max_epochs": 1, "batch_size": 12, "inner_validation": 0.2}
    fitted = model("whisq", changes=changes).fit(some, clips[ASPECTS])
    assert seen == [sum(int(clip[1:]) >= 6 for clip in fitted.trained_on_)]


def test_tables_that_are_none_are_refused(model, fitted, clips):
    y = clips[ASPECTS]
    for table, message in [
        (clips.drop(columns="audio"), r"has no column \['audio'\]"),
        (clips.drop(columns="prompt"), r"has no column \['prompt'\]"),
        (clips.assign(clip_id="c"), "Clip ids must be unique"),
        (clips.to_numpy(), r"need a table of clips \(a DataFrame\); got ndarray"),
        (None, "got NoneType"),
    ]:
        with pytest.raises(UsageError, match=message):
            model().fit(table, y)
        with pytest.raises(UsageError, match=message):
            fitted.predict(table)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"preset": "dorra"}, "Unknown preset 'dorra'. Did you mean 'dora'"),
        (
            {"settings": "embeded"},
            "Unknown training settings 'embeded'. Did you mean 'embedded'",
        ),
        ({"settings": {"epochs": 3}}, "settings: unknown key 'epochs'"),
        (
            {"audio_encoder": "logmell"},
            "Unknown encoder 'logmell'. Did you mean 'logmel'",
        ),
        (
            {"text_aspects": ["alignment"]},
            r"text_aspects names \['alignment'\], but the aspects are \['mi', 'ta'\]",
        ),
        ({"device": "tpu"}, "Device 'tpu' is not available"),
        (
            {"random_state": None},
            r"random_state must be an integer in 0..2\*\*32 - 1; got None",
        ),
        ({"random_state": -1}, "random_state must be an integer"),
        (
            {"settings": {"attention_heads": 5}},
            "width 128 cannot be split into 5 attention heads",
        ),
    ],
)
def test_parameters_that_cannot_be_used_are_refused_by_fit(
    params, message, model, clips
):
    estimator = model().set_params(**params)
    with pytest.raises(UsageError, match=message):
        estimator.fit(clips, clips[ASPECTS])


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_cuda_where_there_is_none_is_refused(fitted, clips):
    absent = copy.copy(fitted).set_params(device="cuda")
    for run in (
        lambda: absent.predict(clips),
        lambda: absent.fit(clips, clips[ASPECTS]),
    ):
        with pytest.raises(UsageError, match="Device 'cuda' is not available"):
            run()
