"""Laws of training on an accelerator, on a pretend one: nothing is left on the other
device, and the host waits at most once an epoch."""

from contextlib import nullcontext

import numpy as np
import pytest
import torch
from gpu.pretend import pretend_gpu
from tiny_networks import AUDIO_WIDTH, TEXT_WIDTH, embedded_clips, training_task

from base_models.config import MODELS, BaseConfig
from base_models.errors import UsageError
from base_models.networks.batches import EmbeddedClips
from base_models.networks.criteria import build_criterion
from base_models.networks.models import build_model
from base_models.networks.standardisation import Standardisation
from base_models.training import checkpoint_writer, device_clips
from base_models.training.checkpoints import CheckpointFile, load_checkpoint
from base_models.training.device_clips import ResidentClips, UploadedClips
from base_models.training.epochs import outputs_on_device, run_epoch
from base_models.training.loop import raw_outputs, train_network

pytestmark = pytest.mark.usefixtures("few_objects")

CPU = torch.device("cpu")
CUDA = torch.device("cuda:0")
WAITS_BY_NATURE = {"whisq_gromov_wasserstein": "POT solves it on the CPU"}


def network_of(preset, **settings):
    settings = {"batch_size": 6, "dropout": 0.0, "max_epochs": 1} | settings
    config = BaseConfig.preset(preset).updated(settings, "test")
    torch.manual_seed(0)
    return config, build_model(config, [False, True], AUDIO_WIDTH, TEXT_WIDTH)


def task_for(config):
    """Clips, of which some lack a label, and one its prompt."""
    scores = training_task().scores.copy()
    scores[[0, 3], 0] = np.nan
    histograms = None
    if config.reads_ratings:
        histograms = np.random.default_rng(0).dirichlet(np.ones(20), (16, 2))
    prompted = np.arange(16) != 4
    return training_task(scores=scores, histograms=histograms, prompted=prompted)


def train(config, model, device, **arguments):
    return train_network(
        model,
        build_criterion(config),
        task_for(config),
        config,
        seed=0,
        device=device,
        **arguments,
    )


@pytest.mark.parametrize("preset", MODELS)
def test_every_model_trains_on_a_device_that_the_host_waits_for_once_an_epoch(
    preset, monkeypatch
):
    """And the host copies nothing that it waits for."""
    config, model = network_of(preset)
    with pretend_gpu() as gpu:

        def counted(run, order_seed):
            # What was copied before the first epoch stays there.
            gpu.forget()
            return run_epoch(run, order_seed)

        monkeypatch.setattr("base_models.training.loop.run_epoch", counted)
        train(config, model, CUDA)
        waits = dict(gpu.synchronisations)
        uploads = dict(gpu.pageable_uploads)
    if preset not in WAITS_BY_NATURE:
        assert sum(waits.values()) == 1, waits
        # Constants go there in the first step.
        assert not {place for place in uploads if "networks/constant.py" not in place}


@pytest.mark.parametrize("preset", ["dora_l1", "dera", "whisq"])
def test_a_device_trains_to_the_numbers_of_the_cpu(preset, monkeypatch):
    monkeypatch.setattr(
        "base_models.training.epochs._precision", lambda _: nullcontext()
    )
    config, here = network_of(preset, max_epochs=1)
    expected = train(config, here, CPU)
    config, there = network_of(preset, max_epochs=1)
    with pretend_gpu():
        history = train(config, there, CUDA)
        weights = {name: w.cpu() for name, w in there.state_dict().items()}
    for record, other in zip(history, expected, strict=True):
        assert record["train_loss"] == pytest.approx(other["train_loss"], abs=1e-5)
        assert record["loss"] == pytest.approx(other["loss"], abs=1e-5)
    for name, tensor in here.state_dict().items():
        torch.testing.assert_close(weights[name], tensor, rtol=1e-4, atol=1e-4)


# clips


LENGTHS = [(5, 3), (2, 7), (9, 1), (1, 2), (6, 6)]


def standardised_clips():
    """Clips of other means and spreads than 0 and 1, with a limit to their frames."""
    clips = embedded_clips(LENGTHS)
    return EmbeddedClips(
        clips.frames,
        clips.tokens,
        max_frames=4,
        frame_scale=Standardisation.of(clips.frames),
        token_scale=Standardisation.of([3 + 2 * tokens for tokens in clips.tokens]),
    )


def same_batch(one, other):
    return all(
        torch.equal(getattr(one, name), getattr(other, name))
        for name in ("frames", "frame_mask", "tokens", "token_mask")
    )


@pytest.mark.parametrize(
    "make", [ResidentClips.of, UploadedClips], ids=["resident", "uploaded"]
)
@pytest.mark.parametrize("clips", [embedded_clips(LENGTHS), standardised_clips()])
def test_batches_of_a_device_are_those_of_the_host_bit_for_bit(make, clips):
    on_device = make(clips, CPU)
    plan = [[2, 0], [4], [3, 1, 2]]
    for batch, rows in zip(on_device.batches(iter(plan)), plan, strict=True):
        assert same_batch(batch, clips.batch(rows))
    some = on_device.take([4, 1, 3])
    assert same_batch(some.batch([2, 0]), clips.batch([3, 4]))
    assert list(some.by_length(2)) == list(clips.take([4, 1, 3]).by_length(2))
    assert some.lengths.tolist() == [6, 2, 1]
    assert len(on_device) == 5


def test_clips_without_text_lie_on_a_device_as_well():
    clips = EmbeddedClips(embedded_clips(LENGTHS).frames)
    batch = ResidentClips.of(clips, CPU).batch([1, 2])
    assert batch.tokens is None
    assert torch.equal(batch.frames, clips.batch([1, 2]).frames)


def test_an_embedding_beyond_float16_stays_finite_among_others():
    """Such an embedding is stored as float32; the first one says nothing of it."""
    frames = [array.astype(np.float16) for array in embedded_clips(LENGTHS).frames]
    frames[3] = np.full((1, AUDIO_WIDTH), 70_000, dtype=np.float32)
    clips = EmbeddedClips(frames)
    batch = ResidentClips.of(clips, CPU).batch([0, 3])
    assert batch.frames.max() == 70_000
    assert torch.equal(batch.frames, clips.batch([0, 3]).frames)


def test_embeddings_that_do_not_fit_are_copied_batch_by_batch(monkeypatch):
    clips = embedded_clips(LENGTHS)
    n_bytes = 2 * (23 * AUDIO_WIDTH + 19 * TEXT_WIDTH)
    for room, kind in [(n_bytes, ResidentClips), (n_bytes - 1, UploadedClips)]:
        monkeypatch.setattr(device_clips, "free_memory", lambda _, room=room: 2 * room)
        with pretend_gpu():
            there = device_clips.clips_on(clips, CUDA, often=True)
            assert isinstance(there, kind)
    assert device_clips.clips_on(clips, CPU, often=True) is clips


def test_clips_that_are_read_once_are_computed_while_others_are_copied():
    with pretend_gpu():
        once = device_clips.clips_on(embedded_clips(LENGTHS), CUDA, often=False)
    assert isinstance(once, UploadedClips)


def test_outputs_come_from_a_device_in_one_copy():
    _, model = network_of("dora")
    clips = embedded_clips(LENGTHS)
    expected = raw_outputs(model, clips, 2, CPU)
    with pretend_gpu() as gpu:
        model.to(CUDA)
        gpu.forget()
        outputs = raw_outputs(model, clips, 2, CUDA)
        assert gpu.n_synchronisations == 1
    torch.testing.assert_close(outputs, expected, rtol=1e-5, atol=1e-6)


# a full device


FULL = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB")


def full_when(monkeypatch, is_full):
    """A device that is full in the epochs where `is_full` of their clips and number."""
    epochs = []

    def epoch(run, order_seed):
        epochs.append(order_seed)
        trained = run_epoch(run, order_seed)
        # The steps of the epoch have moved the weights already.
        if is_full(run.task.clips, order_seed):
            raise FULL
        return trained

    monkeypatch.setattr("base_models.training.loop.run_epoch", epoch)
    return epochs


@pytest.mark.parametrize("has_checkpoint", [False, True])
def test_a_full_device_gives_up_the_embeddings_and_trains_the_same(
    has_checkpoint, tmp_path, monkeypatch, caplog
):
    monkeypatch.setattr(checkpoint_writer.CheckpointWriter, "offer", OFFER_AT_ONCE)
    file = CheckpointFile(tmp_path / "c", "a") if has_checkpoint else None
    with pretend_gpu():
        config, model = network_of("dora_l1", max_epochs=3)
        expected = train(config, model, CUDA)
        weights = {name: w.cpu() for name, w in model.state_dict().items()}

        epochs = full_when(
            monkeypatch, lambda clips, n: n == 2 and isinstance(clips, ResidentClips)
        )
        config, model = network_of("dora_l1", max_epochs=3)
        assert train(config, model, CUDA, checkpoint=file) == expected
        for name, tensor in model.state_dict().items():
            assert torch.equal(tensor.cpu(), weights[name])
    # What a checkpoint holds is not trained again.
    assert epochs == ([1, 2, 2, 3] if has_checkpoint else [1, 2, 1, 2, 3])
    assert "cuda:0 has no memory for a batch beside all embeddings" in caplog.text


def test_a_device_without_memory_for_a_batch_is_named_with_the_cure(monkeypatch):
    full_when(monkeypatch, lambda *_: True)
    config, model = network_of("dora_l1")
    message = "cuda:0 has no memory.*batch of 6 clips.*batch_size=3.*--device cpu"
    with pretend_gpu(), pytest.raises(UsageError, match=message):
        train(config, model, CUDA)
    config, model = network_of("dora_l1")
    with pytest.raises(UsageError, match=r"^cpu has no memory") as refused:
        train(config, model, CPU)
    assert "--device" not in str(refused.value)


def test_other_errors_of_training_are_raised_as_they_are(monkeypatch):
    def fail(run, order_seed):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr("base_models.training.loop.run_epoch", fail)
    config, model = network_of("dora_l1")
    with pretend_gpu(), pytest.raises(RuntimeError, match="mat1 and mat2"):
        train(config, model, CUDA)


def test_predictions_on_a_full_device_are_made_in_smaller_batches(monkeypatch, caplog):
    _, model = network_of("dora")
    clips = embedded_clips(LENGTHS)
    expected = raw_outputs(model, clips, 4, CPU)
    room = [2]

    def full(model, there, size):
        if size > room[0]:
            raise FULL
        return outputs_on_device(model, there, size)

    monkeypatch.setattr("base_models.training.loop.outputs_on_device", full)
    outputs = raw_outputs(model, clips, 4, CPU)
    torch.testing.assert_close(outputs, expected, rtol=1e-5, atol=1e-6)
    assert "cpu has no memory for a batch of 4 clips; going on with 2" in caplog.text
    room[0] = 0
    with pytest.raises(UsageError, match="no memory for a network and a batch of one"):
        raw_outputs(model, clips, 4, CPU)


# checkpoints


def test_a_device_is_not_kept_waiting_for_checkpoints(tmp_path, monkeypatch):
    """They are written now and then, and where the caller stops."""
    written = []
    save = checkpoint_writer.save_checkpoint

    def noted(path, tensors, state):
        written.append(len(state["history"]))
        save(path, tensors, state)

    monkeypatch.setattr(checkpoint_writer, "save_checkpoint", noted)
    file = CheckpointFile(tmp_path / "c", "a")
    config, model = network_of("clap_baseline", max_epochs=3)
    with pretend_gpu():
        train(config, model, CUDA, checkpoint=file)
        assert not written

        monkeypatch.setattr(checkpoint_writer.CheckpointWriter, "offer", OFFER_AT_ONCE)
        train(config, model, CUDA, checkpoint=file)
        assert written == [1, 2, 3]


def OFFER_AT_ONCE(writer, tensors, history):
    writer.seconds_between = 0.0
    OFFER(writer, tensors, history)


OFFER = checkpoint_writer.CheckpointWriter.offer


def test_a_stopped_run_on_a_device_goes_on_from_its_last_epoch(tmp_path):
    class Stop(Exception):
        pass

    def stop(record):
        if record["epoch"] == 2:
            raise Stop

    file = CheckpointFile(tmp_path / "c", "a")
    config, model = network_of("clap_baseline", max_epochs=4)
    with pretend_gpu():
        with pytest.raises(Stop):
            train(config, model, CUDA, checkpoint=file, on_epoch=stop)
        _, state = load_checkpoint(file.path, "a")
        assert [record["epoch"] for record in state["history"]] == [1, 2]
        config, again = network_of("clap_baseline", max_epochs=4)
        epochs = []
        train(config, again, CUDA, checkpoint=file, on_epoch=epochs.append)
    assert [record["epoch"] for record in epochs] == [3, 4]
