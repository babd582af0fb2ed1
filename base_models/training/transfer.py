"""Copies between the host and an accelerator that make neither wait for the other.

On the CPU nothing is copied.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch
from torch import Tensor

Item = TypeVar("Item")


def pinned(tensor: Tensor, device: torch.device) -> Tensor:
    """Move a tensor of the CPU to memory that a device copies from by itself."""
    # Only CUDA has such memory.
    if device.type == "cuda" and torch.cuda.is_available():
        return tensor.pin_memory()
    return tensor


def upload(tensor: Tensor, device: torch.device) -> Tensor:
    """Copy a tensor of the CPU to a device."""
    return pinned(tensor, device).to(device, non_blocking=device.type == "cuda")


def row_numbers(rows: Sequence[int], device: torch.device) -> Tensor:
    """Row numbers as a tensor on a device. Shape: (len(rows),), int64"""
    return upload(torch.tensor(list(rows), dtype=torch.int64), device)


def fetch(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Copy float32 tensors of one device to the CPU, in one copy.

    The host waits for the device once, however many they are.
    """
    if all(tensor.device.type == "cpu" for tensor in tensors):
        return list(tensors)
    sizes = [tensor.numel() for tensor in tensors]
    together = torch.cat([tensor.detach().flatten() for tensor in tensors]).cpu()
    parts = together.split(sizes)
    return [
        part.view(tensor.shape) for part, tensor in zip(parts, tensors, strict=True)
    ]


class Download:
    """Tensors of a device on their way to the host.

    Parameters
    ----------
    tensors : mapping from str to Tensor
    """

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        # Such copies are in pinned memory, and their numbers are not there yet. What
        # the device computes afterwards does not change them.
        self.copies = {
            name: _on_its_way(tensor.detach()) for name, tensor in tensors.items()
        }
        self.is_done: torch.cuda.Event | None = None
        for device in {tensor.device for tensor in tensors.values()}:
            if device.type == "cuda":
                self.is_done = torch.cuda.Event()
                # Not that of the current device, which may be another one.
                self.is_done.record(torch.cuda.current_stream(device))

    def wait(self) -> dict[str, Tensor]:
        """Return the tensors on the CPU, once they are there; any thread may ask."""
        if self.is_done is not None:
            self.is_done.synchronize()
        return self.copies


def _on_its_way(tensor: Tensor) -> Tensor:
    if tensor.device.type == "cpu":
        # Training goes on in place.
        return tensor.clone()
    # Only CUDA has an event to wait for.
    return tensor.to("cpu", non_blocking=tensor.device.type == "cuda")


class _End:
    """Stands behind the last item."""


def ahead(items: Iterable[Item], count: int) -> Iterator[Item]:
    """Yield items, of which a thread makes the next `count` meanwhile."""
    made = iter(items)
    end = _End()
    worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="batches-ahead")
    try:
        # One worker, so that no two threads are in the iterator at once.
        waiting: deque[Future[Item | _End]] = deque()
        for _ in range(count):
            waiting.append(worker.submit(next, made, end))
        while waiting:
            item = waiting.popleft().result()
            if isinstance(item, _End):
                return
            waiting.append(worker.submit(next, made, end))
            yield item
    finally:
        worker.shutdown(wait=True, cancel_futures=True)
