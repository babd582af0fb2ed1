"""Names of precisions, what a device has, and torch's switches for them."""

from __future__ import annotations

import pytest
import torch

from base_models.errors import UsageError
from base_models.precision import (
    PRECISIONS,
    check_precision,
    precision_of,
    signature_part,
)
from base_models.precision.modes import computing_in, full_precision
from base_models.precision.names import has_bfloat16, has_tf32

CUDA_SWITCHES = {
    "matmul": torch.backends.cuda.matmul,
    "conv": torch.backends.cudnn.conv,
    "rnn": torch.backends.cudnn.rnn,
}
CPU_SWITCHES = {
    "matmul on the CPU": torch.backends.mkldnn.matmul,
    "conv on the CPU": torch.backends.mkldnn.conv,
    "rnn on the CPU": torch.backends.mkldnn.rnn,
}
SWITCHES = CUDA_SWITCHES | CPU_SWITCHES


def switches():
    """What torch's switches say, by their names."""
    return {name: switch.fp32_precision for name, switch in SWITCHES.items()}


def matmul_by_name(name):
    torch.set_float32_matmul_precision(name)


def older_switches(allowed):
    torch.backends.cuda.matmul.allow_tf32 = allowed
    torch.backends.cudnn.allow_tf32 = allowed


def newer_switch_of_all(value):
    torch.backends.fp32_precision = value


def newer_switch_of_one(value):
    torch.backends.cuda.matmul.fp32_precision = value


CALLERS = {
    "who sets nothing": lambda: None,
    "who wants high": lambda: matmul_by_name("high"),
    "who wants medium": lambda: matmul_by_name("medium"),
    "who allows tf32": lambda: older_switches(True),
    "who forbids tf32": lambda: older_switches(False),
    "who sets all to tf32": lambda: newer_switch_of_all("tf32"),
    "who sets one to tf32": lambda: newer_switch_of_one("tf32"),
}


@pytest.fixture(params=CALLERS)
def caller(request):
    """torch as a caller may have set it, and as it was afterwards."""
    before = switches()
    of_all = torch.backends.fp32_precision
    CALLERS[request.param]()
    yield request.param
    torch.backends.fp32_precision = of_all
    # Leaves both families of switches in one state.
    torch.set_float32_matmul_precision("highest")
    for name, value in before.items():
        SWITCHES[name].fp32_precision = value


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_float32_is_exact_whatever_the_caller_has_set(caller, precision):
    before = switches()
    with computing_in(precision, "cuda"):
        assert set(switches().values()) == {"ieee"}
        assert torch.backends.cudnn.deterministic
    assert switches() == before
    assert not torch.backends.cudnn.deterministic


def test_tf32_is_tf32_whatever_the_caller_has_set(caller):
    before = switches()
    with computing_in("tf32", "cuda"):
        inside = switches()
    assert {inside[name] for name in CUDA_SWITCHES} == {"tf32"}
    assert {inside[name] for name in CPU_SWITCHES} == {"ieee"}
    assert switches() == before


def test_a_cpu_leaves_the_switches_of_cuda_alone(caller):
    before = switches()
    with full_precision("cpu"):
        inside = switches()
    assert {inside[name] for name in CPU_SWITCHES} == {"ieee"}
    assert {name: inside[name] for name in CUDA_SWITCHES} == {
        name: before[name] for name in CUDA_SWITCHES
    }


def test_switches_are_restored_after_an_error():
    before = switches()
    with pytest.raises(ZeroDivisionError), computing_in("tf32", "cuda"):
        _ = 1 / 0
    assert switches() == before


def test_autocast_of_the_caller_does_not_reach_inside():
    a = torch.full((2, 2), 1 / 3)
    with torch.autocast("cpu", torch.bfloat16), full_precision("cpu"):
        assert (a @ a).dtype == torch.float32


def test_shapes_are_computed_without_any_device():
    a = torch.ones((2, 2), device="meta")
    with full_precision("meta"):
        assert (a @ a).shape == (2, 2)


def test_a_precision_that_there_is_not_is_refused_by_name():
    with pytest.raises(UsageError, match=r"precision 'bfloat61'.*bfloat16"):
        check_precision("bfloat61", "cpu")


def test_tf32_is_refused_where_there_is_none():
    with pytest.raises(UsageError, match=r"'cpu' has no tf32.*float32 is the nearest"):
        check_precision("tf32", "cpu")
    assert not has_tf32("cpu")
    for precision in set(PRECISIONS) - {"tf32"}:
        check_precision(precision, "cpu")


def test_what_a_cuda_device_has_follows_its_generation(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for capability, has in (((7, 5), False), ((8, 0), True), ((9, 0), True)):
        monkeypatch.setattr(
            torch.cuda, "get_device_capability", lambda device, it=capability: it
        )
        assert has_tf32("cuda:0") is has
        assert has_bfloat16("cuda:0") is has


@pytest.mark.parametrize("instruction", ["amx_bf16", "avx512_bf16", None])
def test_a_processor_has_bfloat16_by_its_instructions(monkeypatch, instruction):
    abilities = {"avx2": True, "amx_bf16": False} | {instruction: True}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: abilities)
    assert has_bfloat16("cpu") is (instruction is not None)


def test_signatures_name_every_precision_but_float32():
    parts = [signature_part(name) for name in ("float32", "bfloat16", "tf32")]
    assert parts == ["", "bf16", "tf32"]


def test_one_precision_may_be_for_all_kinds_or_each_have_its_own():
    assert precision_of("audio", "tf32") == precision_of("text", "tf32") == "tf32"
    own = {"audio": "bfloat16"}
    assert precision_of("audio", own) == "bfloat16"
    assert precision_of("text", own) == "auto"
