"""What two processes do together, in a file that a started process can import."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from torch import Tensor

from oneshot_sketch.pair import PhotoSketchPair


def features(seed: int) -> Tensor:
    """(2, 6, 4, 4), of two pictures."""
    return torch.randn(2, 6, 4, 4, generator=torch.Generator().manual_seed(seed))


def remember_and_learn(rank: int, port: int, folder: Path, pairs: list[PhotoSketchPair]) -> None:
    """A memory and a small MOST-Net, each process with its half of every batch; the states go to `folder`."""
    environment = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ |= {key: str(value) for key, value in environment.items()}
    torch.set_num_threads(1)
    from accelerate import Accelerator
    from small_most_net import config
    from small_most_net import features as tiny_features

    from oneshot_sketch.learners.most_net import MostNetLearner
    from oneshot_sketch.learners.shares import Shares
    from oneshot_sketch.models.memory import MemoryDictionary

    shares, own = Shares(Accelerator(cpu=True)), slice(rank, rank + 1)
    torch.manual_seed(1)
    memory = MemoryDictionary(12, 6, decay=0.9)
    memory.fill(features(2)[own], features(3)[own], torch.Generator().manual_seed(rank), shares.from_main)
    for step in range(5):
        photo, sketch = features(10 + step)[own], features(20 + step)[own]
        memory.update(photo, sketch, shares.sum)
        memory.revive(1, photo, sketch, torch.Generator().manual_seed(rank), shares.from_main)
    torch.save(memory.state_dict(), folder / f"memory-{rank}.pth")

    learner = MostNetLearner(tiny_features(), config(adversarial_weight=0.0, memory_start="noise"), device="cpu")
    net = learner.learn(pairs, checkpoint=folder / "states", progress=False, shares=shares)
    torch.save(net.state_dict(), folder / f"net-{rank}.pth")
    torch.distributed.destroy_process_group()
