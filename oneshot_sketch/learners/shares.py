"""Whose draws are whose: a step's draws over processes and micro-batches, and the sums that bring them together again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast, gather, reduce
from torch import Tensor

from oneshot_sketch.errors import InputError
from oneshot_sketch.learners.draws import Draws


@dataclass(frozen=True)
class Shares:
    """How one learning is spread. Every process takes the same steps from the same sums, so all hold the same rows.

    Attributes:
        accelerator: the processes that learn together; None is this one alone.
        micro_batch: draws in one pass through the UNet; None is all of the process's own in a step.
    """

    accelerator: Accelerator | None = None
    micro_batch: int | None = None

    @property
    def is_main(self) -> bool:
        return self.accelerator is None or self.accelerator.is_main_process

    def of(self, draws: Draws, at_most: int) -> Iterator[tuple[Draws, float]]:
        """This process's micro-batches, each with its part of the whole; over all processes the parts sum to 1.

        Args:
            at_most: draws in a micro-batch, where `micro_batch` does not say it.
        """
        count = len(draws.t)
        own = self.of_range(count)
        size = min(self.micro_batch or at_most, at_most)
        for i in own[::size]:
            part = slice(i, min(i + size, own.stop))
            batch = Draws(draws.view[part], draws.t[part], draws.noise[part])
            yield batch, len(batch.t) / count

    def of_range(self, count: int) -> range:
        """Which of `count` things are this process's own."""
        process, processes = (self.accelerator.process_index, self.accelerator.num_processes) if self.accelerator else (0, 1)
        return range(count * process // processes, count * (process + 1) // processes)

    def sum(self, tensor: Tensor) -> Tensor:
        """Over the processes."""
        return tensor if self.accelerator is None else reduce(tensor, "sum")  # pyright: ignore[reportReturnType]

    def from_main(self, tensor: Tensor) -> Tensor:
        """What the main process holds."""
        return tensor if self.accelerator is None else broadcast(tensor.clone())  # pyright: ignore[reportReturnType]

    def check_step(self, step: int) -> None:
        """
        Raises:
            InputError: processes found different checkpoints.
        """
        if self.accelerator is None or self.accelerator.num_processes == 1:
            return
        steps = set(gather(torch.tensor([step], device=self.accelerator.device)).tolist())  # pyright: ignore
        if len(steps) > 1:
            raise InputError(
                f"the processes found checkpoints of different steps ({', '.join(map(str, sorted(steps)))}); "
                "give an output folder that all of them see."
            )
