"""Two processes with gloo keep one memory and one network."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
import torch
import torch.multiprocessing
from small_most_net import config, pairs
from small_most_net import features as tiny_features
from two_processes import features, remember_and_learn

from oneshot_sketch.images import to_tensor
from oneshot_sketch.learners.checkpoint import load_state
from oneshot_sketch.learners.most_net import MostNetLearner
from oneshot_sketch.models.memory import MemoryDictionary

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("together")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.spawn(remember_and_learn, (port, folder, pairs()), nprocs=2)
    return folder


@pytest.mark.parametrize("what", ["memory", "net"])
def test_both_processes_hold_the_same_bytes(together: Path, what: str) -> None:
    first, second = (torch.load(together / f"{what}-{rank}.pth", weights_only=True) for rank in (0, 1))
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_the_memory_is_that_of_the_whole_batch(together: Path) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        alone = MemoryDictionary(12, 6, decay=0.9)
    own, revived = slice(0, 1), 0
    alone.fill(features(2)[own], features(3)[own], torch.Generator().manual_seed(0))
    for step in range(5):
        alone.update(features(10 + step), features(20 + step))
        revived += alone.revive(1, features(10 + step)[own], features(20 + step)[own], torch.Generator().manual_seed(0))
    assert revived  # or the test would not see who plants
    for key, value in torch.load(together / "memory-0.pth", weights_only=True).items():
        torch.testing.assert_close(value, alone.state_dict()[key])


def test_the_network_is_that_of_the_whole_batch(together: Path) -> None:
    """But for the verdicts, which normalise each process's batch by itself, and so weigh nothing here."""
    learner = MostNetLearner(tiny_features(), config(adversarial_weight=0.0, memory_start="noise"), device="cpu")
    start, alone = learner.learn(pairs(), progress=False, stop=lambda: True), learner.learn(pairs(), progress=False)
    state = torch.load(together / "net-0.pth", weights_only=True)
    for key in ("memory.keys", "memory.values"):
        torch.testing.assert_close(state[key], alone.state_dict()[key], atol=1e-5, rtol=0)
    photo = to_tensor(pairs()[0].photo.resize((32, 32)))
    before, after = start(photo), alone(photo)
    start.load_state_dict(state)
    assert (start(photo) - after).abs().mean() < 0.03 * (before - after).abs().mean()
    kept = load_state(together / "states")
    assert kept is not None and kept[1]["step"] == 4
