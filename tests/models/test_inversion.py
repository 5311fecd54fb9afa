"""Finding the ws that redraw a picture."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from oneshot_sketch.errors import InputError
from oneshot_sketch.models.inversion import (
    Inversion,
    InversionConfig,
    invert,
    laplacian_distance,
    reconstruction_error,
)
from oneshot_sketch.models.stylegan2 import StyleGAN2Generator


@pytest.fixture(scope="module")
def generator() -> StyleGAN2Generator:
    torch.manual_seed(0)
    generator = StyleGAN2Generator(32, z_dim=16, w_dim=16, mapping_layers=2, channel_base=256, channel_max=16).eval()
    generator.estimate_w_avg(1000)
    for block in generator.synthesis.values():
        block.torgb.weight.data *= 0.2  # type: ignore[union-attr] # so that pictures stay within [-1, 1]
    return generator


@pytest.fixture(scope="module")
def pictures(generator: StyleGAN2Generator) -> Tensor:
    """Pictures of its own, some of which are easier than others."""
    z = torch.randn(3, 16, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        ws = torch.stack([generator.map(z, psi)[i] for i, psi in enumerate((0.2, 0.6, 1.0))])
        return generator.synthesize(ws).image


def same(a: Inversion, b: Inversion) -> bool:
    return all(torch.equal(getattr(a, name), getattr(b, name)) for name in ("ws", "image", "error", "error_map", "steps"))


def test_a_generators_own_pictures_are_found(generator: StyleGAN2Generator, pictures: Tensor) -> None:
    before = invert(generator, pictures, config=InversionConfig(steps=0))
    after = invert(generator, pictures, config=InversionConfig(steps=40, mean_weight=0))
    assert torch.equal(before.ws, generator.w_avg.expand(3, generator.num_ws, -1))
    assert (after.error < before.error / 2).all()
    redrawn = generator.synthesize(after.ws).image.clamp(-1, 1)
    torch.testing.assert_close(after.image, redrawn.detach())
    torch.testing.assert_close(after.error, ((redrawn - pictures) / 2).square().mean((1, 2, 3)).sqrt().detach())


def test_neither_neighbours_nor_their_number_change_a_result(generator: StyleGAN2Generator, pictures: Tensor) -> None:
    config = InversionConfig(steps=12, batch_size=3, patience=4)
    together = invert(generator, pictures, config=config)
    alone = invert(generator, pictures[1:2], config=config)
    assert torch.equal(alone.ws[0], together.ws[1])
    assert torch.equal(alone.error_map[0], together.error_map[1])
    other = invert(generator, torch.cat([-pictures[:1], pictures[1:2], pictures[:2]]), config=config)
    assert torch.equal(other.ws[1], together.ws[1]) and torch.equal(other.steps[1], together.steps[1])
    assert torch.equal(other.ws[3], together.ws[1])
    assert same(invert(generator, pictures, config=config), together)


def test_each_picture_stops_when_it_no_longer_gains(generator: StyleGAN2Generator, pictures: Tensor) -> None:
    """The mean picture is redrawn from the start; the other is not."""
    with torch.no_grad():
        mean = generator.synthesize(generator.w_avg.expand(1, generator.num_ws, -1)).image.clamp(-1, 1)
    found = invert(generator, torch.cat([mean, pictures[2:]]), config=InversionConfig(steps=40, patience=5, batch_size=2))
    assert found.steps[0] < 8 and found.steps[1] > 20
    assert found.error[0] < 1e-3


def test_it_never_ends_worse_than_it_began(generator: StyleGAN2Generator, pictures: Tensor) -> None:
    config = InversionConfig(steps=10, lr=50.0, mean_weight=0)

    def objective(image: Tensor) -> Tensor:
        return laplacian_distance(image, pictures) + (image - pictures).square().mean((1, 2, 3))

    start = invert(generator, pictures, config=InversionConfig(steps=0, mean_weight=0))
    found = invert(generator, pictures, config=config)
    with torch.no_grad():
        raw = [generator.synthesize(x.ws).image for x in (found, start)]
    assert (objective(raw[0]) <= objective(raw[1]) + 1e-6).all()


def test_the_mean_holds_ws_back(generator: StyleGAN2Generator, pictures: Tensor) -> None:
    distances = []
    for weight in (0.0, 1.0, 100.0):
        ws = invert(generator, pictures, config=InversionConfig(steps=12, mean_weight=weight)).ws
        distances.append((ws - generator.w_avg).square().mean().item())
    assert distances[0] > distances[1] > distances[2]


class Elsewhere(nn.Module):
    def __init__(self, ws: Tensor) -> None:
        super().__init__()
        self.ws = nn.Parameter(ws)

    def forward(self, images: Tensor) -> Tensor:
        return self.ws.expand(len(images), -1, -1)


def test_an_encoder_says_where_to_start(generator: StyleGAN2Generator, pictures: Tensor) -> None:
    ws = generator.map(torch.ones(1, 16)).detach()
    found = invert(generator, pictures, Elsewhere(ws), config=InversionConfig(steps=0, batch_size=2))
    assert torch.equal(found.ws, ws.expand(3, -1, -1)) and not found.steps.any()
    with pytest.raises(InputError, match="use its own encoder"):
        invert(generator, pictures, Elsewhere(ws[:, :3]))


def test_ws_can_be_held_to_where_they_start(generator: StyleGAN2Generator, pictures: Tensor) -> None:
    ws = generator.map(torch.ones(1, 16)).detach()
    distances = {}
    for held_to in ("mean", "start"):
        config = InversionConfig(steps=12, mean_weight=100, held_to=held_to)  # type: ignore[arg-type]
        found = invert(generator, pictures[:1], Elsewhere(ws), config=config).ws
        distances[held_to] = [(found - anchor).square().mean().item() for anchor in (generator.w_avg, ws)]
    assert distances["mean"][0] < distances["start"][0] and distances["mean"][1] > distances["start"][1]


def test_a_perceptual_term_steers_and_must_be_one_number_a_picture(generator: StyleGAN2Generator, pictures: Tensor) -> None:
    def dark(image: Tensor, _: Tensor) -> Tensor:
        return 100 * (image + 1).square().mean((1, 2, 3))

    config = InversionConfig(steps=25, mean_weight=0, l2_weight=0)
    assert (invert(generator, pictures, config=config, perceptual=dark).image.mean() + 0.1) < pictures.mean()
    with pytest.raises(ValueError, match="one each"):
        invert(generator, pictures[:1], config=config, perceptual=lambda a, b: (a - b).square().mean())


def test_no_weight_gets_a_gradient_and_an_outer_inference_mode_does_not_matter(
    generator: StyleGAN2Generator, pictures: Tensor
) -> None:
    config = InversionConfig(steps=3)
    with torch.inference_mode():
        inside = invert(generator, pictures.clone(), config=config)
    assert same(inside, invert(generator, pictures, config=config))
    assert all(p.grad is None and p.requires_grad for p in generator.parameters())


def test_half_precision_inverts_too(generator: StyleGAN2Generator, pictures: Tensor) -> None:
    half = StyleGAN2Generator(**{k: v for k, v in generator.config.items() if not k.startswith("_")})
    half.load_state_dict(generator.state_dict())
    half = half.bfloat16()
    start = invert(half, pictures, config=InversionConfig(steps=0))
    found = invert(half, pictures, config=InversionConfig(steps=20))
    assert found.ws.dtype == found.image.dtype == torch.float32
    assert (found.error < start.error).all()


def test_larger_pictures_are_averaged_down(generator: StyleGAN2Generator, pictures: Tensor) -> None:
    large = pictures.repeat_interleave(2, 2).repeat_interleave(2, 3)
    config = InversionConfig(steps=4, compared_at=16)
    torch.testing.assert_close(
        invert(generator, large, config=config).error, invert(generator, pictures, config=config).error, atol=0.02, rtol=0
    )


def test_errors_are_what_they_are_said_to_be() -> None:
    black, grey = torch.full((2, 3, 64, 64), -1.0), torch.zeros(2, 3, 64, 64)
    error, error_map = reconstruction_error(black, grey)
    torch.testing.assert_close(error, torch.full((2,), 0.5))
    torch.testing.assert_close(error_map, torch.full((2, 1, 64, 64), 0.5))
    spot = grey.clone()
    spot[0, :, 40:44, 8:12] = 1
    error, error_map = reconstruction_error(spot, grey)
    assert error[0] == pytest.approx(0.5 * 4 / 64, rel=1e-5) and error[1] == 0
    row, column = divmod(int(error_map[0].argmax()), 64)
    assert 40 <= row < 44 and 8 <= column < 12
    assert error_map[0, 0, :20].max() == 0 == error_map[1].max()
    assert error_map.max() <= 0.5


def test_the_weight_free_distance_by_hand() -> None:
    """Of a flat difference every level of the pyramid but the last is 0: 32, 16 and below."""
    a = torch.zeros(2, 3, 32, 32)
    flat = torch.stack([a[0], a[0] + 0.6])
    torch.testing.assert_close(laplacian_distance(a, flat), torch.tensor([0.0, 0.2]))
    checks = torch.arange(32).view(-1, 1) + torch.arange(32)
    checks = (checks.remainder(2) * 2.0 - 1).expand(2, 3, 32, 32)
    torch.testing.assert_close(laplacian_distance(a, checks), torch.full((2,), 1 / 3))


def test_the_rate_rises_and_falls() -> None:
    config = InversionConfig(steps=100, lr=0.1, warm_up=0.05, ramp_down=0.25)
    rates = [config.rate(step) for step in range(100)]
    assert rates[0] < rates[2] < rates[5] == rates[70] == 0.1
    assert rates[80] < 0.1 and 0 < rates[99] < 0.001
    flat = InversionConfig(steps=3, lr=0.1, warm_up=0, ramp_down=0)
    assert [flat.rate(step) for step in range(3)] == [0.1] * 3


def test_progress_is_shown_when_asked(
    generator: StyleGAN2Generator, pictures: Tensor, capsys: pytest.CaptureFixture[str]
) -> None:
    invert(generator, pictures[:1], config=InversionConfig(steps=2))
    assert not capsys.readouterr().err
    invert(generator, pictures[:1], config=InversionConfig(steps=2), progress=True)
    assert "inversion" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"steps": -1}, "steps is -1"),
        ({"lr": 0.0}, "lr is 0.0"),
        ({"mean_weight": math.nan}, "mean_weight is nan"),
        ({"patience": 0}, "patience is 0"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"held_to": "w"}, "choose mean or start"),
        ({"warm_up": 0.6, "ramp_down": 0.6}, "together they may be 1"),
    ],
)
def test_settings_that_cannot_be_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        InversionConfig(**wrong)


def test_pictures_that_cannot_be_inverted(generator: StyleGAN2Generator) -> None:
    with pytest.raises(InputError, match="align and crop them first"):
        invert(generator, torch.zeros(1, 3, 32, 40))
    with pytest.raises(InputError, match="NaN"):
        invert(generator, torch.full((1, 3, 32, 32), math.nan))
