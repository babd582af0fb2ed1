"""Laws of checkpoints: read is what was written, or nothing; a run killed at any epoch
ends as if it never had been."""

import functools
import logging
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from builders import clip_table, noises
from tiny_networks import weights_of

from base_models.files import from_json, parse_tensors
from base_models.training.checkpoints import (
    add_prefix,
    load_checkpoint,
    optimizer_tensors,
    restore_optimizer,
    save_checkpoint,
    strip_prefix,
)
from base_models.training.neural_mos import NeuralMOS

RATE = 24_000
EPOCHS = 4
KILLS = [(1,), (2,), (3,), (4,), (1, 3), (1, 2, 3)]


class Killed(BaseException):
    """Ends a run where a signal would."""


# one file


@pytest.fixture
def saved(tmp_path):
    tensors = {
        "model.w": torch.randn(3, 4),
        "model.b": torch.tensor([1.5]),
        "empty": torch.zeros(0, 2),
    }
    state = {
        "identity": "run",
        "history": [{"epoch": 1, "loss": 0.1 + 0.2, "srcc": [None, -1.0]}],
    }
    save_checkpoint(tmp_path / "c.safetensors", tensors, state)
    return tmp_path / "c.safetensors", tensors, state


def equal(first, second):
    return first.keys() == second.keys() and all(
        torch.equal(first[name], second[name]) for name in first
    )


def test_what_is_read_is_what_was_written_bit_for_bit(saved):
    path, tensors, state = saved
    read, read_state = load_checkpoint(path, "run")
    assert equal(read, tensors)
    assert read_state == state
    read["model.w"].add_(1)  # its own memory, fit to train on


def test_where_there_is_no_checkpoint_training_starts_without_a_word(tmp_path, caplog):
    assert load_checkpoint(tmp_path / "none", "run") is None
    assert not caplog.records


def test_a_checkpoint_of_another_run_is_ignored_with_a_warning(saved, caplog):
    assert load_checkpoint(saved[0], "another") is None
    assert "belongs to another run (data, config or seed differ)" in caplog.text


def test_a_flipped_bit_anywhere_is_noticed_or_harmless(saved, caplog):
    path, tensors, state = saved
    data, rng, noticed = path.read_bytes(), np.random.default_rng(0), 0
    for position in range(len(data)):
        damaged = bytearray(data)
        damaged[position] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        caplog.clear()
        read = load_checkpoint(path, "run")
        noticed += read is None
        if read is None:
            assert "Training starts from the beginning" in caplog.text
        else:
            assert equal(read[0], tensors)
            assert read[1] == state
    assert noticed > 0.95 * len(data)


def test_a_truncated_checkpoint_is_dropped(saved):
    data = saved[0].read_bytes()
    for length in range(0, len(data), 7):
        saved[0].write_bytes(data[:length])
        assert load_checkpoint(saved[0], "run") is None


def test_names_go_under_a_prefix_and_back():
    tensors = {"a.b": torch.ones(1), "c": torch.zeros(2)}
    both = add_prefix("best", tensors) | add_prefix("model", {"c": torch.ones(2)})
    assert equal(strip_prefix("best", both), tensors)


def test_a_restored_optimizer_takes_the_same_steps(tmp_path):
    def steps(weight, optimizer, count):
        for _ in range(count):
            optimizer.zero_grad()
            (weight**3).sum().backward()
            optimizer.step()

    def fresh(start):
        weight = torch.nn.Parameter(start.clone())
        return weight, torch.optim.AdamW([weight], lr=0.1, weight_decay=0.1)

    weight, optimizer = fresh(torch.linspace(-1, 1, 5))
    steps(weight, optimizer, 3)
    save_checkpoint(tmp_path / "o", optimizer_tensors(optimizer), {"identity": ""})
    other, restored = fresh(weight.detach())
    restore_optimizer(restored, load_checkpoint(tmp_path / "o", "")[0])
    steps(weight, optimizer, 3)
    steps(other, restored, 3)
    assert torch.equal(weight, other)


# a whole run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A table on disk and the parameters of a run over it."""
    folder = tmp_path_factory.mktemp("run")
    k = np.arange(10)
    sounds = noises(0.02 * (k + 1), 0.5 + 0.05 * k)
    prompts = [f"tune {number} of a piano" for number in k]
    labels = {"mi": 1.2 + 0.3 * k, "ta": 4.5 - 0.3 * k}
    table = clip_table(folder, sounds, systems=2, prompts=prompts, **labels)
    table.to_csv(folder / "t.csv")
    params = {
        "settings": {"max_epochs": EPOCHS, "learning_rate": 1e-3, "batch_size": 4},
        "audio_encoder": "logmel",
        "text_encoder": "hashed_text",
        "device": "cpu",
        "store": str(folder / "store"),
        "random_state": 3,
    }
    return folder / "t.csv", folder, params


@pytest.fixture(scope="module")
def killed(run):
    """Function of the epochs after which a run is killed: the checkpoint that is left.

    A process that is killed runs nothing more, so what it leaves is the file as it is
    at that moment, of which a copy is taken. Real kills are in `torture.rows.kills`.
    """
    table, folder, params = run
    clips = pd.read_csv(table)

    @functools.cache
    def left(epochs):
        checkpoint = folder / "running.safetensors"
        checkpoint.unlink(missing_ok=True)
        if epochs[:-1]:
            shutil.copy(left(epochs[:-1]), checkpoint)
        copy = folder / f"{epochs}.safetensors"

        def die(record):
            if record["epoch"] == epochs[-1]:
                shutil.copy(checkpoint, copy)
                raise Killed

        model = NeuralMOS(**params, checkpoint=checkpoint, on_epoch=die)
        with pytest.raises(Killed):
            model.fit(clips, clips[["mi", "ta"]])
        return copy

    return left


def outcome(run, **params):
    """Weights as bytes, history, predictions."""
    clips = pd.read_csv(run[0])
    model = NeuralMOS(**run[2] | params).fit(clips, clips[["mi", "ta"]])
    return (
        weights_of(model),
        model.history_,
        model.predict_distribution(clips).tobytes(),
    )


@pytest.fixture(scope="module")
def uninterrupted(run):
    return outcome(run)


@pytest.mark.parametrize("epochs", KILLS, ids=str)
def test_a_run_killed_after_any_epoch_and_resumed_equals_the_uninterrupted_one(
    epochs, run, killed, uninterrupted, tmp_path
):
    seen = []
    path = tmp_path / "c"
    shutil.copy(killed(epochs), path)
    assert len(load_history(path)) == epochs[-1]
    assert outcome(run, checkpoint=path, on_epoch=seen.append) == uninterrupted
    assert [record["epoch"] for record in seen] == list(
        range(epochs[-1] + 1, EPOCHS + 1)
    )


def load_history(path):
    return from_json(parse_tensors(path.read_bytes(), "c")["state"].tobytes(), "c")[
        "history"
    ]


def test_writing_checkpoints_changes_no_number_and_a_finished_run_trains_no_more(
    run, uninterrupted, tmp_path
):
    checkpoint, seen = tmp_path / "c", []
    assert outcome(run, checkpoint=str(checkpoint)) == uninterrupted
    assert (
        outcome(run, checkpoint=str(checkpoint), on_epoch=seen.append) == uninterrupted
    )
    assert seen == []
    assert [file.name for file in tmp_path.iterdir()] == ["c"]


@pytest.mark.parametrize("where", [0.0, 0.3, 0.6, 0.999])
def test_a_run_whose_checkpoint_is_damaged_starts_again_with_the_same_result(
    where, run, killed, uninterrupted, tmp_path, caplog
):
    data, seen = bytearray(killed((2,)).read_bytes()), []
    data[int(where * len(data))] ^= 16
    (tmp_path / "c").write_bytes(data)
    assert (
        outcome(run, checkpoint=tmp_path / "c", on_epoch=seen.append) == uninterrupted
    )
    assert len(seen) == EPOCHS
    assert "Training starts from the beginning" in caplog.text


@pytest.mark.parametrize("change", ["seed", "labels", "prompt", "settings", "weights"])
def test_a_checkpoint_of_other_seeds_data_or_settings_is_not_resumed(
    change, run, killed, tmp_path, caplog
):
    shutil.copy(killed((2,)), tmp_path / "c")
    clips, seen, weights = pd.read_csv(run[0]), [], None
    params = run[2] | {"checkpoint": tmp_path / "c", "on_epoch": seen.append}
    if change == "seed":
        params["random_state"] = 4
    elif change == "labels":
        clips.loc[0, "mi"] = 1.25
    elif change == "prompt":
        clips.loc[0, "prompt"] = "another"
    elif change == "settings":
        params["settings"] = params["settings"] | {"dropout": 0.2}
    else:
        weights = np.linspace(1, 2, 10)
    with caplog.at_level(logging.WARNING):
        NeuralMOS(**params).fit(clips, clips[["mi", "ta"]], sample_weight=weights)
    assert len(seen) == EPOCHS
    assert "belongs to another run" in caplog.text
