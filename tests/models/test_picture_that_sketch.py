from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torch import nn

from oneshot_sketch.models.picture_that_sketch import ParallelMapper, SketchMapper, filled, predicted_latents
from oneshot_sketch.models.stylegan2 import StyleGAN2Generator

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = {"num_ws": 8, "w_dim": 16, "max_predicted": 6, "backbone": "small", "input_size": 32, "widths": (8, 8, 16), "units": 1}
SKETCHES = torch.rand(2, 1, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1


def mapper(seed: int = 0, **changes: object) -> SketchMapper:
    torch.manual_seed(seed)
    made = SketchMapper(**{**SMALL, "hidden": 24, **changes})  # type: ignore[arg-type]
    nn.init.normal_(made.offset.weight, std=0.5)  # or all latents would be about the mean
    nn.init.normal_(made.w_avg)
    return made.eval()


@contextmanager
def moved(layer: nn.Module, call: int) -> Iterator[None]:
    """What a layer gives at its n-th call is changed."""
    calls = iter(range(1000))
    hook = layer.register_forward_hook(lambda module, given, out: out + 1.0 if next(calls) == call else None)
    yield
    hook.remove()


@pytest.mark.parametrize("changes", [{}, {"recurrent_layers": 2, "first": "w_avg"}, {"step_embedding": False, "pooled": 2}])
@torch.no_grad()
def test_a_latent_hears_of_those_before_it_only(changes: dict[str, object]) -> None:
    network = mapper(**changes)
    plain = network(SKETCHES)
    for place in range(6):
        with moved(network.offset, place):
            other = network(SKETCHES)
        apart = (other - plain).abs().amax((0, 2))
        assert torch.equal(other[:, :place], plain[:, :place])
        assert (apart[place:] > 1e-4).all(), "what comes after hears of it"


@torch.no_grad()
def test_the_first_latents_are_the_same_however_many_follow() -> None:
    for network in (mapper(), ParallelMapper(**SMALL).eval()):  # type: ignore[arg-type]
        whole = network(SKETCHES)
        assert whole.shape == (2, 6, 16)
        for count in range(1, 7):
            assert torch.equal(network(SKETCHES, count), whole[:, :count])
        assert not torch.allclose(whole[0], whole[1], atol=1e-3)


@torch.no_grad()
def test_parallel_latents_know_nothing_of_each_other() -> None:
    torch.manual_seed(0)
    network = ParallelMapper(**SMALL).eval()  # type: ignore[arg-type]
    plain = network(SKETCHES)
    with moved(network.heads[2], 0):
        apart = (network(SKETCHES) - plain).abs().amax((0, 2)) > 0
    assert apart.tolist() == [False, False, True, False, False, False]


@pytest.mark.parametrize("seed", range(2))
def test_predicted_latents_never_depend_on_the_tail(seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    predicted, tail, other = torch.randn(3, 2, 8, 16, generator=draw)
    predicted = predicted[:, :6]
    assert torch.equal(filled(predicted, tail)[:, :6], predicted) and torch.equal(filled(predicted, tail)[:, 6:], tail[:, 6:])
    counts = torch.tensor([2, 6])
    made, again = filled(predicted, tail, counts), filled(predicted, other, counts)
    for row, count in enumerate(counts):
        assert torch.equal(made[row, :count], predicted[row, :count]) and torch.equal(made[row, :count], again[row, :count])
        assert torch.equal(made[row, count:], tail[row, count:]) and torch.equal(again[row, count:], other[row, count:])


@pytest.mark.parametrize(("side", "num_ws", "predicted"), [(64, 10, 7), (128, 12, 9), (256, 14, 10), (1024, 18, 13)])
@torch.no_grad()
def test_latents_fit_generators_of_every_size(side: int, num_ws: int, predicted: int) -> None:
    generator = StyleGAN2Generator(side, 8, 16, 1, channel_base=4 * side, channel_max=8).eval()
    assert generator.num_ws == num_ws and predicted_latents(num_ws) == predicted
    network = SketchMapper(**{**SMALL, "num_ws": num_ws, "max_predicted": predicted})  # type: ignore[arg-type]
    ws = filled(network(SKETCHES[:1]), generator.map(torch.randn(1, 8)))
    assert ws.shape == (1, num_ws, 16)
    assert generator.synthesize(ws).image.shape == (1, 3, side, side)


@torch.no_grad()
def test_untrained_it_gives_about_the_mean_face() -> None:
    network = SketchMapper(**SMALL)  # type: ignore[arg-type]
    network.w_avg.copy_(torch.randn(16))
    assert (network(SKETCHES) - network.w_avg).abs().max() < 0.02


@torch.no_grad()
def test_grey_and_rgb_sketches_of_any_size_are_read() -> None:
    network = mapper()
    assert torch.equal(network(SKETCHES), network(SKETCHES.expand(-1, 3, -1, -1)))
    large = nn.functional.interpolate(SKETCHES, scale_factor=4)
    assert (network(large) - network(SKETCHES)).abs().max() < 0.2


@torch.no_grad()
def test_saved_and_loaded_it_is_the_same(tmp_path: Path) -> None:
    for network in (mapper(pooled=2), ParallelMapper(**SMALL).eval()):  # type: ignore[arg-type]
        network.save_pretrained(tmp_path)
        loaded = type(network).from_pretrained(tmp_path)
        assert torch.allclose(loaded(SKETCHES), network(SKETCHES), atol=1e-6)


@torch.no_grad()
def test_the_papers_network_runs() -> None:
    network = SketchMapper().eval()
    assert network(torch.zeros(1, 3, 256, 256)).shape == (1, 10, 512)
    assert network.trunk(torch.zeros(1, 3, 256, 256)).shape == (1, 2048, 8, 8)


@pytest.mark.parametrize(
    "changes", [{"max_predicted": 9}, {"first": "mean"}, {"recurrent_layers": 0}, {"input_size": 40}, {"widths": (4, 8, 8)}]
)
def test_sizes_that_do_not_fit_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        mapper(**changes)


@pytest.mark.parametrize("count", [0, 7])
def test_a_number_of_latents_out_of_range_is_refused(count: int) -> None:
    with pytest.raises(ValueError, match="1 to 6"):
        mapper()(SKETCHES, count)
