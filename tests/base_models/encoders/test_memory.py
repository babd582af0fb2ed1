"""A batch that a device has no memory for is halved until it fits."""

from __future__ import annotations

import gc
import logging
import weakref

import numpy as np
import pytest
import torch
from torch import nn

from base_models.encoders.base import Encoder
from base_models.encoders.memory import (
    is_out_of_memory,
    out_of_memory_error,
    release_memory,
)
from base_models.encoders.specs import EncoderSpec
from base_models.errors import MachineFault

pytestmark = pytest.mark.usefixtures("few_objects")

SPEC = EncoderSpec(name="wide", kind="text", dim=1, licence="MIT")


class SmallDevice(nn.Module):
    """Doubles its inputs, at most some items at once."""

    def __init__(self, most, error):
        super().__init__()
        self.most = most
        self.error = error
        self.sizes = []

    def forward(self, inputs):
        self.sizes.append(len(inputs))
        if len(inputs) > self.most:
            raise self.error
        return inputs * 2


def encoder(most, error):
    module = SmallDevice(most, error)
    return Encoder.from_spec(SPEC, module=module, prepare=None), module


ERRORS = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB"),
    RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)"),
    RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to"),
]


@pytest.mark.parametrize("error", ERRORS)
def test_a_batch_that_does_not_fit_is_encoded_in_halves(error, caplog):
    ours, module = encoder(2, error)
    items = np.arange(5, dtype=np.float32)[:, None, None]
    with caplog.at_level(logging.WARNING):
        embeddings = ours.encode(items)
    np.testing.assert_array_equal(embeddings, items * 2)
    assert module.sizes == [5, 2, 3, 1, 2]
    assert "cpu has no memory for a batch of 5 items of 'wide'" in caplog.text


def test_an_item_that_does_not_fit_alone_is_a_fault_of_the_machine():
    ours, _ = encoder(0, ERRORS[0])
    with pytest.raises(
        MachineFault, match=r"cpu has no memory for a single item.*wide"
    ):
        ours.encode(np.ones((2, 3, 1), np.float32))


def test_other_errors_are_raised_as_they_are():
    ours, module = encoder(0, RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        ours.encode(np.ones((2, 3, 1), np.float32))
    assert module.sizes == [2]


def test_the_cure_on_a_device_is_the_cpu():
    assert "--device cpu" in str(out_of_memory_error("muq", "cuda:0"))
    assert "--device cpu" not in str(out_of_memory_error("muq", "cpu"))


def test_no_other_error_means_that_memory_is_full():
    assert not is_out_of_memory(ValueError("out of memory"))
    for device in ("cpu", "cuda:0", "mps"):
        release_memory(device)


def test_what_failed_does_not_hold_memory_by_references_in_a_circle():
    class Failed:
        pass

    failed = Failed()
    failed.itself = failed
    alive = weakref.ref(failed)
    gc.disable()
    try:
        del failed
        release_memory("cuda:0")
        assert alive() is None
    finally:
        gc.enable()


def test_a_batch_that_is_on_the_device_stays_there():
    ours, _ = encoder(9, ERRORS[0])
    embeddings = ours.run(torch.ones(2, 3, 1))
    assert isinstance(embeddings, torch.Tensor)
    assert embeddings.shape == (2, 3, 1)
