"""What a piece of work costs: seconds, and the memory at its peak."""

from __future__ import annotations

import resource
import time
from pathlib import Path

import torch

_CLEAR, _STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")


class Cost:
    """Context manager; afterwards `seconds`, and `memory` in MiB.

    On CUDA `memory` is the peak of what PyTorch allocated; elsewhere the peak resident memory of the whole process, which
    only Linux can start anew: on other systems it is the peak since the process began.
    """

    seconds = memory = 0.0

    def __enter__(self) -> Cost:
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
        else:
            _reset_peak()
        self._start = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
            self.memory = torch.cuda.max_memory_allocated() / 2**20
        else:
            self.memory = _peak()
        self.seconds = time.perf_counter() - self._start


def _reset_peak() -> None:
    try:
        _CLEAR.write_text("5")
    except OSError:  # another system, or a process that may not
        return


def _peak() -> float:
    try:
        return next(int(line.split()[1]) for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM")) / 1024
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
