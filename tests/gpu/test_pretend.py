"""What a GPU refuses and what the host waits for, as the pretend device tells it."""

import numpy as np
import pytest
import torch
from gpu.pretend import pretend_gpu
from torch import nn


@pytest.fixture
def gpu():
    with pretend_gpu() as device:
        yield device


def test_tensors_are_on_the_device_that_they_were_sent_to(gpu):
    here = torch.ones(3)
    there = here.to("cuda")
    assert (here.device.type, there.device, (there + 1).device.type) == (
        "cpu",
        torch.device("cuda:0"),
        "cuda",
    )
    assert there[:2].is_cuda
    assert not there.cpu().is_cuda
    assert torch.zeros(2, device="cuda").is_cuda
    assert there.to(torch.float16).is_cuda
    assert here.to(there).is_cuda


def test_tensors_of_two_devices_do_not_mix(gpu):
    there = torch.ones(3, device="cuda")
    with pytest.raises(RuntimeError, match=r"same device: aten::mul at tests/gpu"):
        there * torch.ones(3)
    with pytest.raises(TypeError, match="can't convert cuda:0 device type tensor"):
        there.numpy()
    # A number of the host may meet any device, and so may its indices.
    assert (there * torch.tensor(2.0)).is_cuda
    assert there[torch.tensor([0, 1])].is_cuda


def test_a_module_is_trained_on_it_and_comes_back(gpu):
    model = nn.Linear(3, 2).to("cuda")
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    model(torch.ones(4, 3, device="cuda")).sum().backward()
    optimizer.step()
    assert model.weight.is_cuda
    assert model.weight.grad.is_cuda
    assert not any(weights.is_cuda for weights in model.cpu().parameters())


def test_a_gradient_goes_back_over_a_copy_to_the_host(gpu):
    there = torch.ones(3, device="cuda", requires_grad=True)
    (there.cpu() * torch.arange(3.0)).sum().backward()
    assert there.grad.is_cuda
    assert there.grad.cpu().tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    "wait",
    [
        lambda tensor: tensor.sum().item(),
        lambda tensor: float(tensor.sum()),
        lambda tensor: bool((tensor > 0).all()),
        lambda tensor: tensor.tolist(),
        lambda tensor: tensor.cpu(),
        lambda tensor: tensor.nonzero(),
        lambda tensor: tensor[tensor > 0],
        lambda tensor: torch.empty(3).copy_(tensor),
        lambda tensor: torch.cuda.synchronize(),
    ],
)
def test_what_the_host_waits_for_is_counted_with_its_place(gpu, wait):
    wait(torch.ones(3, device="cuda"))
    assert gpu.n_synchronisations == 1
    ((_, place),) = gpu.synchronisations
    assert place.startswith("tests/gpu/test_pretend.py:")
    gpu.forget()
    assert gpu.n_synchronisations == 0


def test_what_the_device_does_alone_is_waited_for_by_nobody(gpu):
    there = torch.ones(3, device="cuda")
    there.mul_(2).softmax(0).index_select(0, torch.zeros(1, device="cuda").long())
    assert gpu.n_synchronisations == 0
    assert gpu.n_kernels >= 4


def test_uploads_are_counted_and_those_of_pageable_memory_apart(gpu):
    torch.from_numpy(np.ones(3)).to("cuda")
    assert (gpu.n_uploads, gpu.pageable_uploads.total()) == (1, 1)
    torch.ones(3).pin_memory().to("cuda", non_blocking=True)
    torch.empty(3, device="cuda").copy_(torch.ones(3).pin_memory())
    assert (gpu.n_uploads, gpu.pageable_uploads.total()) == (3, 1)


def test_a_copy_to_pinned_memory_is_not_waited_for(gpu):
    there = torch.ones(3, device="cuda")
    arrived = torch.empty(3, pin_memory=True)
    arrived.copy_(there, non_blocking=True)
    assert gpu.n_synchronisations == 0
    torch.empty(3).copy_(there, non_blocking=True)
    torch.cuda.Event().synchronize()
    assert [reason for reason, _ in gpu.synchronisations] == [
        "copy to the host",
        "event",
    ]


def test_afterwards_the_machine_is_as_it_was():
    before = (torch.cuda.is_available, torch.autocast, torch.Generator)
    with pretend_gpu():
        assert torch.cuda.is_available()
    assert (torch.cuda.is_available, torch.autocast, torch.Generator) == before
    assert torch.backends.mkldnn.enabled
