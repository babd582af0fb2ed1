"""Where torch computes: the devices that a name stands for, and the CPU's threads."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from base_models.errors import UsageError
from base_models.optional_libraries import LazyLibrary

if TYPE_CHECKING:
    import torch
else:
    torch = LazyLibrary("torch")

AUTO = "auto"
CPU = "cpu"

_NAME = re.compile(r"([a-z]+)(?::(\d+))?", re.ASCII)
"""Of one device: its kind, and its number where there are several."""


def resolve_device(name: str = AUTO) -> torch.device:
    """The device to compute on: ``"auto"`` takes CUDA, else MPS, else the CPU.

    Parameters
    ----------
    name : str
        Such as ``"cuda"``, which is ``"cuda:0"``, or ``"cuda:1"``.

    Raises
    ------
    UsageError
        when the named device is not present.
    """
    present = _present()
    if name == AUTO:
        return torch.device(present[0])
    canonical = canonical_name(name)
    if canonical not in present:
        raise UsageError(
            f"Device '{name}' is not available here. Present: {AUTO}, "
            f"{', '.join(sorted(present)[:9])}."
        )
    return torch.device(canonical)


def resolve_devices(names: str = AUTO) -> tuple[torch.device, ...]:
    """The devices that runs are dealt over.

    Parameters
    ----------
    names : str
        One name as `resolve_device` takes it, or several of one kind, such as
        ``"cuda:0,1"``.

    Raises
    ------
    UsageError
        when one of them is not present or stands there twice, or they are of several
        kinds: what a run gives depends on the kind.
    """
    devices = tuple(resolve_device(name) for name in split_names(names))
    if len(set(devices)) < len(devices):
        raise UsageError(f"--device {names} names a device twice; name each once.")
    if len({device.type for device in devices}) > 1:
        raise UsageError(
            f"--device {names} names devices of several kinds, which do not give the "
            "same digits; name devices of one kind, such as cuda:0,1."
        )
    return devices


def split_names(names: str) -> list[str]:
    """The names that a list of devices stands for; a bare number is one more of a kind.

    Examples
    --------
    >>> split_names("cuda:0,1,3"), split_names("auto")
    (['cuda:0', 'cuda:1', 'cuda:3'], ['auto'])
    """
    listed: list[str] = []
    for word in names.split(","):
        kind = listed[-1].partition(":")[0] if listed else ""
        is_number = word.isascii() and word.isdigit() and bool(kind)
        listed.append(f"{kind}:{word}" if is_number else word)
    return listed


def canonical_name(name: str) -> str:
    """The one name of a device that may be written in several ways.

    Examples
    --------
    >>> canonical_name("cuda"), canonical_name("cuda:01"), canonical_name("cpu:0")
    ('cuda:0', 'cuda:1', 'cpu')
    """
    written = _NAME.fullmatch(name)
    if written is None:
        return name
    kind, number = written.groups(default="0")
    if kind == "cuda":
        return f"{kind}:{int(number)}"
    # There is one of all other kinds.
    return kind if int(number) == 0 else name


def kind_of(device: str) -> str:
    """Kind of a device that is named.

    >>> kind_of("cuda:1")
    'cuda'
    """
    return device.partition(":")[0]


def _present() -> list[str]:
    """Names of the devices of this machine, the fastest first."""
    n_cuda = torch.cuda.device_count() if torch.cuda.is_available() else 0
    present = [f"cuda:{number}" for number in range(n_cuda)]
    if torch.backends.mps.is_available():
        present.append("mps")
    return [*present, CPU]


@contextlib.contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Start the generators of the CPU and of `device` from `seed` in this context.

    Afterwards they are as they were before.
    """
    forked = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=forked), _mps_kept(device):
        # `torch.manual_seed` would also move the generators of every other GPU.
        torch.default_generator.manual_seed(seed)
        if device.type == "cuda":
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        elif device.type == "mps":
            torch.mps.manual_seed(seed)
        yield


@contextlib.contextmanager
def _mps_kept(device: torch.device) -> Iterator[None]:
    """Leave the generator of an MPS device as it is; `fork_rng` knows CUDA alone."""
    if device.type != "mps":
        yield
        return
    before = torch.mps.get_rng_state()
    try:
        yield
    finally:
        torch.mps.set_rng_state(before)


@contextlib.contextmanager
def cpu_threads(count: int) -> Iterator[None]:
    """Compute with `count` CPU threads inside the block; 0 leaves their number alone.

    Notes
    -----
    The number of threads changes the last digits of sums.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
