from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from oneshot_sketch import InputError
from oneshot_sketch.learners.stage import Stage, weights_digest


def walked(ema_decay: float = 0.0, decay_share: float = 0.0, folder: Path | None = None) -> list[float]:
    """Where ten steps down a slope of 1 with a rate of 0.1 lead, step by step."""
    network = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(network.weight)
    optimiser = torch.optim.SGD(network.parameters(), 0.1)
    stage = Stage("walk", network, optimiser, 10, {}, ema_decay=ema_decay, decay_share=decay_share, folder=folder, progress=False)
    places = []
    for _ in stage.steps():
        stage.descend({"slope": network.weight.sum()}, {"slope": 1.0})
        places.append(float(network.weight.detach()))
    return places


def test_the_rate_falls_over_the_last_part() -> None:
    assert walked() == pytest.approx([-0.1 * n for n in range(1, 11)])
    paces = [1.0] * 6 + [0.75, 0.5, 0.25]
    assert walked(decay_share=0.4)[1:] == pytest.approx([-0.1 * sum([1.0, *paces[:n]]) for n in range(1, 10)], abs=1e-6)


def test_a_finished_stage_is_not_walked_again(tmp_path: Path) -> None:
    assert len(walked(folder=tmp_path)) == 10
    assert walked(folder=tmp_path) == []


def test_losses_without_a_number_are_refused() -> None:
    network = nn.Linear(1, 1)
    stage = Stage("walk", network, torch.optim.SGD(network.parameters(), 0.1), 2, {}, progress=False)
    with pytest.raises(InputError, match="losses of walk are no numbers any more at step 0"):
        stage.descend({"slope": network.weight.sum() * torch.inf}, {"slope": 1.0})


def test_networks_are_told_apart_by_their_signs() -> None:
    torch.manual_seed(0)
    one, other = nn.Linear(9, 9), nn.Linear(9, 9)
    assert weights_digest(one) == weights_digest(one) != weights_digest(other)
    before = weights_digest(one)
    assert weights_digest(one.half()) == before
