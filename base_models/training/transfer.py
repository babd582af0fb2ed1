"""Copies between the host and an accelerator that make neither wait for the other.

On the CPU nothing is copied.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
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
    return pinned(tensor, device).to(device, non_blocking=True)


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


def ahead(items: Iterable[Item], count: int) -> Iterator[Item]:
    """Yield items, of which a thread makes the next `count` meanwhile."""
    made = iter(items)
    end = object()
    worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="batches-ahead")
    try:
        # One worker, so that no two threads are in the iterator at once.
        waiting = deque(worker.submit(next, made, end) for _ in range(count))
        while waiting:
            item = waiting.popleft().result()
            if item is end:
                return
            waiting.append(worker.submit(next, made, end))
            yield item
    finally:
        worker.shutdown(wait=True, cancel_futures=True)
