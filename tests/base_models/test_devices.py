"""Which device a name stands for, and which names are refused."""

import pytest
import torch
from gpu.pretend import pretend_gpu

from base_models.devices import (
    canonical_name,
    resolve_device,
    resolve_devices,
    seeded,
)
from base_models.encoders import load_encoder
from base_models.errors import UsageError

CPU = torch.device("cpu")


def names(text):
    return [str(device) for device in resolve_devices(text)]


def test_a_device_that_is_not_there_is_refused_by_name():
    assert resolve_device("cpu") == CPU
    for name in ("tpu", "cuda:", "cuda:-1", "cpu:1", "", "cuda:0,x"):
        with pytest.raises(UsageError, match=r"is not available here. Present: auto, "):
            resolve_devices(name)


@pytest.mark.parametrize("name", ["cuda:2", "cuda:x", "cuda:1.5", "cuda:²"])
def test_a_gpu_that_is_not_there_is_refused_with_those_that_are(name):
    message = f"Device '{name}' is not available here. Present: auto, cpu, cuda:0, cu"
    with pretend_gpu(n_devices=2), pytest.raises(UsageError, match=message):
        resolve_device(name)
    with pretend_gpu(n_devices=2), pytest.raises(UsageError, match=message):
        load_encoder("logmel", device=name)


def test_the_first_gpu_is_the_usual_one_and_has_one_name():
    with pretend_gpu(n_devices=2):
        first = torch.device("cuda:0")
        assert {resolve_device(name) for name in ("auto", "cuda", "cuda:0")} == {first}
        assert load_encoder("logmel", device="cuda") is load_encoder(
            "logmel", device="cuda:0"
        )
    assert canonical_name("cuda") == "cuda:0"


def test_a_list_names_devices_of_one_kind_each_once():
    with pretend_gpu(n_devices=3):
        assert names("cuda:0,2") == names("cuda,cuda:2") == ["cuda:0", "cuda:2"]
        assert names("auto") == ["cuda:0"]
        with pytest.raises(UsageError, match="names a device twice"):
            names("cuda:1,cuda:01")
        with pytest.raises(UsageError, match="devices of several kinds"):
            names("cuda:1,cpu")
        # What computes on one device says so.
        with pytest.raises(UsageError, match=r"Device 'cuda:0,1' is not available"):
            resolve_device("cuda:0,1")


def test_the_generator_of_an_mps_device_is_restored(monkeypatch):
    states = [7]
    monkeypatch.setattr(torch.mps, "get_rng_state", lambda: states[-1])
    monkeypatch.setattr(torch.mps, "set_rng_state", states.append)
    monkeypatch.setattr(torch.mps, "manual_seed", lambda seed: states.append(-seed))
    with seeded(3, torch.device("mps")):
        assert states == [7, -3]
    assert states == [7, -3, 7]
