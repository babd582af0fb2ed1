"""A pretend GPU on the CPU: tensors know that they are "on" it, and mixing is an error.

Nothing is computed elsewhere. A mark on a tensor's storage says that it is on the
device ``cuda:0``; whatever is computed from marked tensors is marked. So a test without
a GPU sees what a GPU would refuse (an operator with tensors of two devices, numpy of a
tensor on the device) and what it would wait for (a host that reads a number).

Examples
--------
>>> from gpu.pretend import pretend_gpu
>>> with pretend_gpu() as gpu:
...     numbers = torch.ones(3).to("cuda")
...     total = float((numbers * 2).sum())
>>> (total, gpu.n_synchronisations, gpu.n_uploads)
(6.0, 1, 1)
"""

from __future__ import annotations

import contextlib
import threading
import traceback
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

ROOT = Path(__file__).parents[2]
CPU = torch.device("cpu")
GPU = torch.device("cuda:0")

WAITS = {
    "aten::_local_scalar_dense",
    "aten::_unique2",
    "aten::equal",
    "aten::is_nonzero",
    "aten::masked_select",
    "aten::nonzero",
    "aten::unique_consecutive",
    "aten::unique_dim",
}
"""Operators whose result, or its shape, the host must know before it goes on."""

MIXES = {
    "aten::_index_put_impl_",
    "aten::_to_copy",
    "aten::copy_",
    "aten::index",
    "aten::index_put",
    "aten::index_put_",
}
"""Operators that take tensors of two devices: copies, and indices from the host."""

NO_KERNEL = {
    "aten::_reshape_alias",
    "aten::_unsafe_view",
    "aten::alias",
    "aten::detach",
    "aten::empty_like",
}
"""Operators that start nothing on a device, beside those that give a view."""


@dataclass
class PretendGpu:
    """What happened on the pretend device.

    Parameters
    ----------
    n_devices : int
        GPUs of the machine.
    synchronisations : Counter
        How often the host waited for the device, by reason and place in the code.
    uploads : Counter
        Copies from the host, by place; those of pageable memory also stand in
        `pageable_uploads`, since the host waits for them before it goes on.
    n_kernels : int
        Operators that the device would run.
    memory : int
        Bytes that it says it has.
    """

    n_devices: int = 1
    synchronisations: Counter[tuple[str, str]] = field(default_factory=Counter)
    uploads: Counter[str] = field(default_factory=Counter)
    pageable_uploads: Counter[str] = field(default_factory=Counter)
    n_kernels: int = 0
    memory: int = 80 * 2**30

    @property
    def n_synchronisations(self) -> int:
        """How often the host waited for the device."""
        return self.synchronisations.total()

    @property
    def n_uploads(self) -> int:
        """Copies from the host to the device."""
        return self.uploads.total()

    def forget(self) -> None:
        """Count from zero again."""
        self.synchronisations.clear()
        self.uploads.clear()
        self.pageable_uploads.clear()
        self.n_kernels = 0

    def waited(self, reason: str) -> None:
        """Note that the host waited."""
        self.synchronisations[reason, _place()] += 1

    def uploaded(self, tensor: Tensor) -> None:
        """Note a copy of a tensor of the host to the device."""
        self.uploads[_place()] += 1
        if not is_pinned(tensor):
            self.pageable_uploads[_place()] += 1


def is_on_gpu(tensor: Tensor) -> bool:
    """Whether a tensor is on the pretend device."""
    return getattr(tensor.untyped_storage(), "is_pretended", False)


def is_pinned(tensor: Tensor) -> bool:
    """Whether a tensor of the host lies in pinned memory."""
    return getattr(tensor.untyped_storage(), "is_pinned_memory", False)


@contextlib.contextmanager
def pretend_gpu(n_devices: int = 1) -> Iterator[PretendGpu]:
    """A machine with GPUs, inside the block and in this thread.

    Parameters
    ----------
    n_devices : int
        How many it says it has; whatever is sent to one of them is on the first.

    Yields
    ------
    gpu : PretendGpu
        Counts what happens on it.

    Notes
    -----
    Autocast on it is that of the CPU, and its random numbers are drawn by the generator
    of the CPU, so that a run on it can be compared with one on the CPU. Other threads
    see marked tensors as tensors of the host.
    """
    gpu = PretendGpu(n_devices)
    with contextlib.ExitStack() as stack:
        for owner, replaced in _replaced_calls(gpu).items():
            for name, call in replaced.items():
                stack.enter_context(mock.patch.object(owner, name, call))
        # Its LSTM refuses bfloat16 on processors without instructions for it.
        stack.enter_context(_without_onednn())
        stack.enter_context(_Operators(gpu))
        stack.enter_context(_Calls(gpu))
        yield gpu


def _replaced_calls(gpu: PretendGpu) -> dict[Any, dict[str, Any]]:
    """What asks a build of torch for CUDA, and the answers of the pretend device."""

    class Autocast(torch.autocast):
        def __init__(self, device_type: str, *words: Any, **named: Any) -> None:
            kind = "cpu" if device_type == "cuda" else device_type
            super().__init__(kind, *words, **named)

    class Generator(torch.Generator):
        def __new__(cls, device: object = "cpu") -> Generator:
            return super().__new__(cls, "cpu" if _is_gpu(device) else device)

    def seed_gpu(seed: int) -> None:
        torch.default_generator.manual_seed(seed)

    def set_state(state: Tensor, device: object = None) -> None:
        torch.default_generator.set_state(state)

    return {
        torch: {"autocast": Autocast, "Generator": Generator},
        # Of the class, since threads pin memory that know nothing of the device.
        Tensor: {"pin_memory": _pinned},
        torch.nn.utils.clip_grad: {
            "_group_tensors_by_device_and_dtype": _grouped_by_device,
        },
        torch.backends.cudnn: {"is_acceptable": lambda tensor: False},
        torch.cuda: {
            "Event": lambda: _Event(gpu),
            "current_device": lambda: 0,
            "current_stream": lambda device=None: None,
            "device": lambda device: contextlib.nullcontext(),
            "device_count": lambda: gpu.n_devices,
            "empty_cache": lambda: None,
            "get_device_capability": lambda device=None: (9, 0),
            "get_device_name": lambda device=None: "pretend GPU",
            "get_rng_state": lambda device=None: torch.default_generator.get_state(),
            "is_available": lambda: True,
            "is_bf16_supported": lambda *words, **named: True,
            "is_current_stream_capturing": lambda: False,
            "manual_seed": seed_gpu,
            "mem_get_info": lambda device=None: (gpu.memory, gpu.memory),
            "set_rng_state": set_state,
            "set_sync_debug_mode": lambda mode: None,
            "synchronize": lambda device=None: gpu.waited("synchronize"),
        },
    }


def _pinned(tensor: Tensor, device: object = None) -> Tensor:
    copy = tensor.clone()
    copy.untyped_storage().is_pinned_memory = True
    return copy


def _grouped_by_device(
    lists: list[list[Tensor]], with_indices: bool = False
) -> dict[tuple[torch.device, torch.dtype], Any]:
    """Torch's grouping of gradients, which asks for their devices below Python."""
    groups = torch.utils._foreach_utils._group_tensors_by_device_and_dtype(
        lists, with_indices
    )
    return {
        (GPU if is_on_gpu(group[0][0][0]) else device, dtype): group
        for (device, dtype), group in groups.items()
    }


def _place() -> str:
    """The line of the project that is at work."""
    for frame, line in traceback.walk_stack(None):
        path = Path(frame.f_code.co_filename)
        is_ours = path.is_relative_to(ROOT) and "site-packages" not in path.parts
        if is_ours and path != Path(__file__):
            return f"{path.relative_to(ROOT)}:{line}"
    return "?"


def _marked(value: Any) -> Any:
    """Mark the tensors of a value as those of the device, and return it."""
    for leaf in tree_leaves(value):
        if isinstance(leaf, Tensor):
            leaf.untyped_storage().is_pretended = True
    return value


def _is_gpu(device: object) -> bool:
    return device is not None and torch.device(device).type == "cuda"


@contextlib.contextmanager
def _without_onednn() -> Iterator[None]:
    before, *_ = torch.backends.mkldnn.set_flags(False, _fp32_precision=None)
    try:
        yield
    finally:
        torch.backends.mkldnn.set_flags(before, _fp32_precision=None)


class _Event:
    """What was asked of a device up to a moment; all of it is done already."""

    def __init__(self, gpu: PretendGpu) -> None:
        self.gpu = gpu
        self.thread = threading.get_ident()

    def record(self, stream: object = None) -> None:
        pass

    def query(self) -> bool:
        return True

    def synchronize(self) -> None:
        # Another thread may wait while the host goes on.
        if threading.get_ident() == self.thread:
            self.gpu.waited("event")


class _Copy(torch.autograd.Function):
    """A copy on the other device, whose gradient is copied back."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, to_gpu: bool) -> Tensor:
        ctx.to_gpu = to_gpu
        return _Copy.copied(tensor, to_gpu)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        return _Copy.copied(gradients[0], not ctx.to_gpu), None

    @staticmethod
    def copied(tensor: Tensor, to_gpu: bool) -> Tensor:
        copy = tensor.clone()
        copy.untyped_storage().is_pretended = to_gpu
        return copy


class _Operators(TorchDispatchMode):
    """Sees every operator that runs, also inside torch and in backward passes."""

    def __init__(self, gpu: PretendGpu) -> None:
        super().__init__()
        self.gpu = gpu

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        named = dict(kwargs or {})
        name = func._schema.name
        tensors = [leaf for leaf in tree_leaves((args, named)) if _is_tensor(leaf)]
        on_gpu = [is_on_gpu(tensor) for tensor in tensors]
        if any(on_gpu):
            self._check_devices(name, tensors)
            self._count(func, args)

        wants_gpu = _is_gpu(named.get("device"))
        if wants_gpu:
            named["device"] = CPU
        result = func(*args, **named)

        if name == "aten::copy_":
            self._count_copy(*args[:2], is_awaited=not any(args[2:]))
            return result
        # What a backward pass makes from nothing is where its graph is.
        in_backward = not tensors and torch._C._current_graph_task_id() != -1
        names_cpu = named.get("device") is not None and not wants_gpu
        stays = any(on_gpu) and (name == "aten::_to_copy" or not names_cpu)
        return _marked(result) if wants_gpu or stays or in_backward else result

    def _check_devices(self, name: str, tensors: list[Tensor]) -> None:
        # A number of the host (a tensor of no dimension) may meet any device.
        elsewhere = [t for t in tensors if t.dim() and not is_on_gpu(t)]
        if elsewhere and name not in MIXES:
            raise RuntimeError(
                f"Expected all tensors to be on the same device: {name} at {_place()} "
                f"has tensors on {GPU} and on {CPU}"
            )

    def _count(self, func: Any, args: tuple[Any, ...]) -> None:
        name = func._schema.name
        self.gpu.n_kernels += not (func.is_view or name in NO_KERNEL)
        indices = tree_leaves(args[1]) if name == "aten::index" else []
        has_mask = any(
            _is_tensor(index) and index.dtype in (torch.bool, torch.uint8)
            for index in indices
        )
        # How many places a mask chooses is known only when it has been computed.
        if name in WAITS or has_mask:
            self.gpu.waited(name.removeprefix("aten::"))

    def _count_copy(
        self,
        target: Tensor,
        source: Tensor,
        is_awaited: bool,
    ) -> None:
        if is_on_gpu(target) and not is_on_gpu(source):
            self.gpu.uploaded(source)
            return
        # To pageable memory the host copies itself, whatever was asked for.
        is_awaited = is_awaited or not is_pinned(target)
        if is_on_gpu(source) and not is_on_gpu(target) and is_awaited:
            self.gpu.waited("copy to the host")


def _is_tensor(leaf: object) -> bool:
    return isinstance(leaf, Tensor)


class _Calls(TorchFunctionMode):
    """Sees what is asked of a tensor: its device, a copy elsewhere, its numbers."""

    def __init__(self, gpu: PretendGpu) -> None:
        super().__init__()
        self.gpu = gpu

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        named = dict(kwargs or {})
        answers = {
            Tensor.device.__get__: self._device,
            Tensor.is_cuda.__get__: is_on_gpu,
            Tensor.is_pinned: is_pinned,
            Tensor.numpy: self._numpy,
            Tensor.__array__: self._numpy,
            Tensor.tolist: self._list,
            Tensor.cpu: self._to_cpu,
            Tensor.cuda: self._to_gpu,
        }
        if func in (Tensor.to, Tensor.type_as):
            return self._moved(*args, **named)
        if func in answers:
            return answers[func](*args, **named)
        if _is_gpu(named.get("device")):
            return self._made(func, args, named)
        if named.pop("pin_memory", False):
            return _pinned(func(*args, **named))
        return func(*args, **named)

    @staticmethod
    def _device(tensor: Tensor) -> torch.device:
        return GPU if is_on_gpu(tensor) else CPU

    @staticmethod
    def _numpy(tensor: Tensor, *words: Any, **named: Any) -> Any:
        if is_on_gpu(tensor):
            raise TypeError(
                f"can't convert {GPU} device type tensor to numpy at {_place()}; use "
                "Tensor.cpu() to copy the tensor to host memory first."
            )
        return tensor.__array__(*words) if words else tensor.numpy(**named)

    def _list(self, tensor: Tensor) -> Any:
        if is_on_gpu(tensor):
            self.gpu.waited("tolist")
        return tensor.tolist()

    def _moved(self, tensor: Tensor, *words: Any, **named: Any) -> Tensor:
        """`Tensor.to`: to another device, another type, or both."""
        named = dict(named)
        device = named.pop("device", None)
        dtype = named.pop("dtype", None)
        for word in (named.pop("other", None), *words):
            if isinstance(word, Tensor):
                device = self._device(word)
                dtype = word.dtype
            elif isinstance(word, torch.dtype):
                dtype = word
            elif isinstance(word, torch.device | str):
                device = word
        is_copied = device is not None and _is_gpu(device) != is_on_gpu(tensor)
        if dtype is not None and not is_copied:
            return tensor.to(dtype=dtype, copy=named.get("copy", False))
        if not is_copied:
            return tensor.clone() if named.get("copy") else tensor
        moved = self._to_gpu(tensor) if _is_gpu(device) else self._to_cpu(tensor)
        return moved if dtype is None else moved.to(dtype=dtype)

    def _to_gpu(self, tensor: Tensor, *words: Any, **named: Any) -> Tensor:
        if is_on_gpu(tensor):
            return tensor
        self.gpu.uploaded(tensor)
        return _Copy.apply(tensor, True)

    def _to_cpu(self, tensor: Tensor, *words: Any, **named: Any) -> Tensor:
        if not is_on_gpu(tensor):
            return tensor
        self.gpu.waited("copy to the host")
        return _Copy.apply(tensor, False)

    def _made(self, func: Any, args: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """A tensor made on the device, or copied to it from other numbers."""
        source = args[0] if args else None
        if isinstance(source, Tensor):
            if not is_on_gpu(source):
                self.gpu.uploaded(source)
        # `torch.tensor` and the like read a list of the host.
        elif isinstance(source, list | tuple) and func in (
            torch.tensor,
            torch.as_tensor,
        ):
            self.gpu.uploads[_place()] += 1
            self.gpu.pageable_uploads[_place()] += 1
        return _marked(func(*args, **{**named, "device": CPU}))
