"""Laws of the training loop: the seed alone decides, missing labels count nowhere, one
declared metric selects."""

import math
import random

import numpy as np
import pytest
import torch
from tiny_networks import loss_of, training_task

from base_models.config import MODELS, BaseConfig
from base_models.errors import StackedMOSError
from base_models.metrics.evaluate import srcc
from base_models.networks.batches import EmbeddedClips
from base_models.networks.criteria import build_criterion
from base_models.networks.models import build_model
from base_models.training.checkpoints import CheckpointFile
from base_models.training.loop import raw_outputs, train_network

CPU = torch.device("cpu")
N = 16


def train(task, preset="dora", seed=0, criterion=None, **settings):
    """The trained network and its history."""
    settings = {"learning_rate": 3e-3, "max_epochs": 3, "batch_size": 5} | settings
    config = BaseConfig.preset(preset).updated(settings, "test")
    torch.manual_seed(seed)
    model = build_model(config, [False, True], 16, 8)
    history = train_network(
        model, criterion or build_criterion(config), task, config, seed, CPU
    )
    return model, history


def same(first, second):
    (one, history), (other, histories) = first, second
    states = one.state_dict(), other.state_dict()
    return history == histories and all(
        torch.equal(states[0][name], states[1][name]) for name in states[0]
    )


# the seed


def test_the_same_seed_gives_the_same_numbers_and_another_seed_others():
    task = training_task()
    first = train(task)
    assert same(first, train(task))
    assert not same(first, train(task, seed=1))


def test_the_callers_generators_are_neither_read_nor_moved(monkeypatch):
    config = BaseConfig().updated({"max_epochs": 2}, "test")
    outcomes = []
    for seed in (1, 2):
        torch.manual_seed(0)
        model = build_model(config, [False, True], 16, 8)
        torch.manual_seed(seed)
        # The global generator is the one that must not be touched.
        np.random.seed(seed)  # noqa: NPY002
        random.seed(seed)
        states = (
            torch.get_rng_state(),
            np.random.get_state()[1].tolist(),  # noqa: NPY002
            random.getstate(),
        )
        monkeypatch.setattr(
            torch, "manual_seed", None
        )  # it would move the generators of every GPU
        history = train_network(
            model, build_criterion(config), training_task(), config, 7, CPU
        )
        monkeypatch.undo()
        assert torch.equal(torch.get_rng_state(), states[0])
        assert np.random.get_state()[1].tolist() == states[1]  # noqa: NPY002
        assert random.getstate() == states[2]
        outcomes.append(
            (history[-1]["loss"], model.temporal.layer.linear1.weight.detach().clone())
        )
    assert outcomes[0][0] == outcomes[1][0]
    assert torch.equal(outcomes[0][1], outcomes[1][1])


# what counts


class Blind:
    """A criterion that is shown another score wherever one is missing (a missing one
    arrives as 0)."""

    def __init__(self, criterion, instead):
        self.criterion, self.instead = criterion, instead
        self.distribution, self.raw = (
            criterion.distribution,
            getattr(criterion, "raw", None),
        )

        if hasattr(criterion, "batch_loss"):
            self.batch_loss = self._batch_loss

        self.loss = criterion.loss

    def targets(self, scores, histograms=None):
        shown = torch.where(scores == 0, self.instead, scores)
        return self.criterion.targets(shown, histograms)

    def _batch_loss(self, logits, scores, weights):
        shown = torch.where(scores == 0, self.instead, scores)
        return self.criterion.batch_loss(logits, shown, weights)


@pytest.mark.parametrize("preset", MODELS)
def test_whatever_stands_in_for_a_missing_label_has_no_influence(preset):
    scores = training_task().scores.copy()
    scores[[0, 3, 4, 13], 0] = np.nan
    scores[[1, 4, 5, 14, 15], 1] = np.nan
    task, criterion = (
        training_task(scores=scores),
        build_criterion(BaseConfig.preset(preset)),
    )
    # In one epoch every clip has its step, and is measured.
    expected = train(task, preset, max_epochs=1)
    for instead in (1.0, 4.2):
        blind = Blind(criterion, instead)
        other = train(task, preset, criterion=blind, max_epochs=1)
        assert same(other, expected)


def test_the_training_loss_is_the_weighted_mean_over_what_is_labelled():
    task = training_task()
    task.scores[[0, 3], 0] = np.nan
    task.weights[:] = np.linspace(0.5, 2, N)
    _, history = train(task, max_epochs=1, batch_size=N, dropout=0.0)
    torch.manual_seed(0)
    config = BaseConfig()
    logits = raw_outputs(build_model(config, [False, True], 16, 8), task.clips, 1, CPU)
    total = weight = 0.0
    for row in task.train:
        for aspect in range(2):
            if not math.isnan(task.scores[row, aspect]):
                target = config.bins.soften(task.scores[row, aspect], config.sigma)
                loss = -(
                    target * logits[row, aspect].double().log_softmax(-1).numpy()
                ).sum()
                total, weight = (
                    total + task.weights[row] * loss,
                    weight + task.weights[row],
                )
    assert history[0]["train_loss"] == pytest.approx(total / weight, abs=1e-5)


def test_weights_that_are_all_doubled_change_next_to_nothing():
    _, one = train(training_task())
    _, two = train(training_task(weights=np.full(N, 2.0)))
    assert one[-1]["loss"] == pytest.approx(two[-1]["loss"], abs=1e-5)


def test_a_clip_that_nobody_rated_could_as_well_be_left_out():
    scores = training_task().scores.copy()
    scores[[2, 14]] = np.nan
    (_, one), (_, two) = (
        train(
            training_task(scores=scores, train=rows, validation=held),
            batch_size=N,
            dropout=0.0,
        )
        for rows, held in [
            (range(12), range(12, N)),
            ([row for row in range(12) if row != 2], [12, 13, 15]),
        ]
    )
    assert [record["train_loss"] for record in one] == pytest.approx(
        [record["train_loss"] for record in two], abs=1e-5
    )
    assert one[-1]["loss"] == pytest.approx(two[-1]["loss"], abs=1e-5)
    assert one[-1]["srcc"] == two[-1]["srcc"]


# selection


def mean_srcc(record):
    return np.mean([value or 0.0 for value in record["srcc"]])


def measured(model, task, config):
    """Loss and SRCC per aspect on the validation clips, the slow way."""
    criterion, rows = build_criterion(config), list(task.validation)
    held = task.clips.take(rows)
    logits = raw_outputs(model, held, config.batch_size, CPU)
    scores = torch.tensor(task.scores[rows], dtype=torch.float32)
    losses = [loss_of(criterion, logits[:, a], scores[:, a]) for a in range(2)]
    expected = [
        config.bins.expected(criterion.distribution(logits[:, a]).numpy())
        for a in range(2)
    ]
    return float(torch.stack(losses).mean()), [
        srcc(task.scores[rows, a], expected[a]) for a in range(2)
    ]


@pytest.mark.parametrize("select_on", ["loss", "srcc"])
def test_the_declared_metric_stops_training_and_picks_the_epoch_that_is_kept(select_on):
    task = training_task(noise=1.5)
    model, history = train(task, max_epochs=40, patience=4, select_on=select_on)
    keys = {
        "loss": lambda record: -record["loss"],
        "srcc": lambda record: (mean_srcc(record), -record["loss"]),
    }
    best = 1
    for number, record in enumerate(history, 1):
        if keys[select_on](record) > keys[select_on](history[best - 1]):
            best = number
        assert (record["epoch"], record["best"]) == (number, best)
        assert (number - best < 4) == (number < len(history))
    assert len(history) < 40
    loss, ranks = measured(model, task, BaseConfig(batch_size=5))
    assert loss == pytest.approx(history[best - 1]["loss"], abs=1e-6)
    assert history[best - 1]["srcc"] == pytest.approx(ranks, abs=1e-6)
    assert loss != pytest.approx(history[-1]["loss"], abs=1e-4)


def test_training_ends_at_max_epochs_when_it_keeps_getting_better():
    _, history = train(training_task(), max_epochs=3, patience=1, learning_rate=1e-4)
    assert [record["best"] for record in history] == [1, 2, 3]


def test_where_no_rank_is_defined_the_loss_decides():
    task = training_task(validation=[13])
    _, history = train(task, max_epochs=8, patience=4, select_on="srcc")
    assert all(record["srcc"] == [None, None] for record in history)
    losses = [record["loss"] for record in history]
    assert history[-1]["best"] == 1 + int(np.argmin(losses)) > 1


def test_clips_held_out_for_selection_are_never_trained_on():
    other = training_task().scores.copy()
    other[12:] = 6 - other[12:]
    one, two = (
        train(training_task(), patience=9),
        train(training_task(scores=other), patience=9),
    )
    assert [record["train_loss"] for record in one[1]] == [
        record["train_loss"] for record in two[1]
    ]
    assert [record["loss"] for record in one[1]] != [
        record["loss"] for record in two[1]
    ]


LAST = {"select_on": "last", "inner_validation": 0.0}


@pytest.mark.parametrize("preset", ["dora", "whisq"])
def test_without_clips_to_select_on_all_epochs_are_trained_and_none_is_measured(preset):
    """And the clips that are measured otherwise change no weight."""
    measured, history = train(training_task(), preset, **LAST)
    blind, blind_history = train(training_task(validation=[]), preset, **LAST)
    assert [record["best"] for record in blind_history] == [1, 2, 3]
    for record, other in zip(blind_history, history, strict=True):
        assert (record["loss"], record["srcc"]) == (None, [None, None])
        assert record["train_loss"] == other["train_loss"]
    states = blind.state_dict(), measured.state_dict()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


# losses on a whole batch


def test_the_ranking_loss_is_recorded_and_falls_and_leaves_text_aspects_alone():
    """Its gradient does not reach what only a text aspect reads."""
    quiet = {"alignment": "none", "alignment_weight": 0.0, "dropout": 0.0}
    _, history = train(training_task(), "dera", max_epochs=10, **quiet)
    assert history[-1]["listwise"] < history[0]["listwise"]
    for record in history:
        assert record["weighted_listwise"] == pytest.approx(record["listwise"])
    heavy = {"listwise_weight": 50.0, "decoupled": True} | quiet
    light = heavy | {"listwise_weight": 0.0}
    ranked, _ = train(training_task(), "dera", **heavy)
    plain, records = train(training_task(), "dera", **light)
    assert "listwise" not in records[0]
    states = ranked.state_dict(), plain.state_dict()
    same = {name for name in states[0] if torch.equal(states[0][name], states[1][name])}
    assert {name.split(".")[1] for name in same if name.startswith("branches")} == {"1"}
    assert not any(name.startswith(("temporal", "branches.0")) for name in same)


def test_without_an_audio_aspect_there_is_nothing_to_rank():
    config = BaseConfig.preset("dera").updated({"max_epochs": 1}, "test")
    model = build_model(config, [True, True], 16, 8)
    task = training_task()
    history = train_network(model, build_criterion(config), task, config, 0, CPU)
    assert "listwise" not in history[0]
    assert math.isfinite(history[0]["train_loss"])


@pytest.mark.parametrize("batch_size", [1, 2, 16])
def test_batches_of_one_clip_equal_labels_and_missing_ones_train(batch_size):
    """An aspect may be unlabelled in a whole batch, or in all but one clip of it."""
    scores = np.full((N, 2), 3.0)
    scores[:9, 0] = np.nan
    scores[4:, 1] = np.nan
    weights = np.linspace(0.5, 2, N)
    task = training_task(scores=scores, weights=weights)
    model, history = train(task, "dera", batch_size=batch_size)
    for record in history:
        assert math.isfinite(record["listwise"])
        assert math.isfinite(record["auxiliary"])
    assert all(torch.isfinite(tensor).all() for tensor in model.state_dict().values())
    if batch_size == 1:
        assert all(record["listwise"] == 0 for record in history)


def test_the_anchored_loss_falls_and_similarity_follows_the_score():
    task = training_task(N)
    settings = {"alignment_weight": 5.0, "max_epochs": 60, "dropout": 0.0}
    model, history = train(task, "dera", patience=60, select_on="last", **settings)
    assert history[-1]["auxiliary"] < 0.3 * history[0]["auxiliary"]
    for record in history:
        assert record["weighted_auxiliary"] == pytest.approx(5 * record["auxiliary"])
    batch = task.clips.batch(task.train)
    with torch.no_grad():
        branch = model.aspect_branches()[1]
        similarity = branch.similarity(batch, model.context(batch)).numpy()
    assert srcc(task.scores[task.train, 1], similarity) > 0.8


# numbers


def test_a_transport_whose_constant_part_is_known_resumes_bit_for_bit(tmp_path):
    """It is computed again, as it was before."""

    def trained(checkpoint, max_epochs):
        settings = {"batch_size": 5, "max_epochs": max_epochs, "select_on": "last"}
        config = BaseConfig.preset("whisq").updated(settings, "test")
        torch.manual_seed(0)
        model = build_model(config, [False, True], 16, 8)
        history = train_network(
            model,
            build_criterion(config),
            training_task(),
            config,
            seed=0,
            device=CPU,
            checkpoint=checkpoint,
        )
        return model, history

    whole = trained(None, 4)
    checkpoint = CheckpointFile(tmp_path / "c")
    trained(checkpoint, 2)
    assert same(trained(checkpoint, 4), whole)


@pytest.mark.parametrize("preset", MODELS)
def test_training_that_diverges_says_so(preset):
    with pytest.raises(
        StackedMOSError,
        match=r"Training diverged: .* after epoch \d+; lower learning_rate",
    ):
        train(training_task(), preset, learning_rate=1e20, max_epochs=30)


def test_a_loss_that_is_not_finite_is_never_kept_as_a_checkpoint(tmp_path):
    config = BaseConfig().updated({"learning_rate": 1e20}, "test")
    model = build_model(config, [False, True], 16, 8)
    with pytest.raises(StackedMOSError, match="Training diverged"):
        train_network(
            model,
            build_criterion(config),
            training_task(),
            config,
            seed=0,
            device=CPU,
            checkpoint=CheckpointFile(tmp_path / "c"),
        )
    assert not (tmp_path / "c").exists()


def test_the_callers_autocast_does_not_reach_the_outputs():
    task = training_task()
    model, _ = train(task, max_epochs=1)
    expected = raw_outputs(model, task.clips, 5, CPU)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(raw_outputs(model, task.clips, 5, CPU), expected)


def test_outputs_come_back_in_row_order_whatever_the_batch():
    task = training_task()
    model, _ = train(task, max_epochs=1)
    alone = torch.cat(
        [
            raw_outputs(model, EmbeddedClips([f], [t]), 1, CPU)
            for f, t in zip(task.clips.frames, task.clips.tokens, strict=True)
        ]
    )
    for size in (1, 4, 99):
        assert torch.allclose(
            raw_outputs(model, task.clips, size, CPU), alone, atol=2e-6
        )


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_a_network_trained_on_a_gpu_scores_alike_on_the_cpu_and_moves_no_generator():
    task, config, cuda = (
        training_task(),
        BaseConfig().updated({"max_epochs": 3}, "test"),
        torch.device("cuda"),
    )
    model, state = build_model(config, [False, True], 16, 8), torch.cuda.get_rng_state()
    train_network(model, build_criterion(config), task, config, 0, cuda)
    assert torch.equal(torch.cuda.get_rng_state(), state)
    there, here = (
        raw_outputs(model, task.clips, 5, cuda),
        raw_outputs(model.cpu(), task.clips, 5, CPU),
    )
    assert torch.allclose(there, here, atol=1e-4)
