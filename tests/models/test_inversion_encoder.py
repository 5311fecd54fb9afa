"""pSp's and e4e's network by its published names, and the small one."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from oneshot_sketch.errors import InputError
from oneshot_sketch.models.inversion_encoder import InversionEncoder, _Unit
from oneshot_sketch.models.stylegan2 import StyleGAN2Generator

TINY: dict[str, Any] = {"num_ws": 10, "w_dim": 3, "input_size": 32, "widths": (4, 4, 4, 4), "units": (1, 1, 1, 1)}


@pytest.fixture(scope="module")
def published() -> dict[str, Tensor]:
    """A state dict of the published shapes without memory of its own."""
    with torch.device("meta"):
        return {f"encoder.{k}": v for k, v in InversionEncoder().state_dict().items() if k != "latent_avg"}


def test_names_and_shapes_are_the_published_ones(published: dict[str, Tensor]) -> None:
    """The digest is of the reference implementation's 621 tensors, which pSp and e4e share."""
    shapes = sorted((name.removeprefix("encoder."), list(value.shape)) for name, value in published.items())
    assert len(shapes) == 621
    assert dict(shapes)["body.3.res_layer.5.fc1.weight"] == [8, 128, 1, 1]
    assert dict(shapes)["styles.17.convs.10.weight"] == [512, 512, 3, 3]
    assert hashlib.sha256(json.dumps(shapes).encode()).hexdigest()[:16] == "8af34292d1009237"


@pytest.mark.parametrize("layout", ["e4e", "psp"])
def test_a_w_is_the_mean_plus_what_its_head_gives(layout: str) -> None:
    """With the convolutions of the heads at 0 a head gives A · leaky(bias) / √w_dim, whatever the picture."""
    torch.manual_seed(0)
    encoder = InversionEncoder(**TINY, layout=layout).eval()  # type: ignore[arg-type]
    expected = torch.zeros(10, 3)
    for i, head in enumerate(encoder.styles):
        last = [layer for layer in head.convs if isinstance(layer, nn.Conv2d)][-1]  # type: ignore[union-attr]
        nn.init.zeros_(last.weight)
        last.bias.data = torch.tensor([i + 1.0, -i, 0.5])  # type: ignore[union-attr]
        head.linear.weight.data = torch.eye(3)  # type: ignore[union-attr]
        expected[i] = torch.tensor([i + 1.0, -0.01 * i, 0.5]) / math.sqrt(3)
    encoder.latent_avg.copy_(torch.arange(30).view(10, 3))
    if layout == "e4e":
        expected[1:] += expected[0].clone()
    torch.testing.assert_close(encoder(torch.rand(2, 3, 32, 32)), (encoder.latent_avg + expected).expand(2, -1, -1))


def test_levels_of_the_pyramid_reach_the_ws_they_are_for() -> None:
    torch.manual_seed(0)
    encoder = InversionEncoder(**TINY, layout="psp").eval()
    picture = torch.rand(1, 3, 32, 32)
    before = encoder(picture)
    nn.init.ones_(encoder.latlayer2.weight)
    changed = (encoder(picture) != before).any(2)[0]
    assert changed.tolist() == [False] * 7 + [True] * 3
    nn.init.ones_(encoder.latlayer1.weight)
    assert (encoder(picture) != before).any(2)[0].tolist() == [False] * 3 + [True] * 7


def test_a_residual_unit_by_hand() -> None:
    """On ones: −6 after the convolutions, halved by an excitation of relu(−6) = 0, plus the shortcut's 1."""
    unit = _Unit(16, 16, stride=2).eval()
    for conv, value in ((unit.res_layer[1], 3.0), (unit.res_layer[3], -2.0)):
        nn.init.zeros_(conv.weight)
        conv.weight.data[:, :, 1, 1] = value * torch.eye(16)
    out = unit(torch.ones(1, 16, 6, 6))
    torch.testing.assert_close(out, torch.full((1, 16, 3, 3), -2.0), atol=1e-3, rtol=0)


def test_checkpoints_that_do_not_say_enough_or_are_of_something_else(published: dict[str, Tensor]) -> None:
    with pytest.raises(InputError, match="layout='psp' or layout='e4e'"):
        InversionEncoder.from_published({"state_dict": published, "latent_avg": torch.zeros(512)})
    with pytest.raises(InputError, match="no latent_avg"):
        InversionEncoder.from_published({"state_dict": published}, "e4e")
    with pytest.raises(InputError, match="not the weights of a pSp or e4e encoder"):
        InversionEncoder.from_published({"g_ema": torch.zeros(1)}, "psp", torch.zeros(512))


@pytest.mark.slow
def test_a_published_checkpoint_loads_by_name() -> None:
    torch.manual_seed(0)
    state = {f"encoder.{k}": v for k, v in InversionEncoder().state_dict().items() if k != "latent_avg"}
    opts = {"encoder_type": "GradualStyleEncoder", "start_from_latent_avg": True}
    encoder = InversionEncoder.from_published({"state_dict": state, "latent_avg": torch.full((512,), 2.0), "opts": opts})
    assert encoder.config["layout"] == "psp" and not encoder.training
    assert torch.equal(encoder.latent_avg, torch.full((18, 512), 2.0))
    assert torch.equal(encoder.styles[17].linear.weight, state["encoder.styles.17.linear.weight"])  # type: ignore[union-attr]
    away = InversionEncoder.from_published({"state_dict": state, "opts": opts | {"start_from_latent_avg": False}})
    assert not away.latent_avg.any()


@pytest.mark.parametrize(("resolution", "w_dim"), [(64, 256), (128, 512)])
def test_the_small_one_has_two_to_four_million_parameters_and_starts_at_the_mean(resolution: int, w_dim: int) -> None:
    generator = StyleGAN2Generator(resolution, z_dim=16, w_dim=w_dim, mapping_layers=2, channel_base=256, channel_max=16)
    generator.estimate_w_avg(100)
    encoder = InversionEncoder.small_for(generator).eval()
    assert 2e6 < sum(p.numel() for p in encoder.parameters()) < 4e6
    ws = encoder(torch.rand(2, 3, resolution, resolution))
    assert torch.equal(ws, generator.w_avg.expand(2, generator.num_ws, -1))


def test_the_small_one_learns_and_adds_to_the_first_w() -> None:
    torch.manual_seed(0)
    encoder = InversionEncoder(**TINY, layout="small", hidden=8)
    ws = encoder(torch.rand(4, 3, 64, 64))
    loss = (ws - 1).square().mean()
    loss.backward()
    torch.optim.SGD(encoder.parameters(), 0.1).step()
    assert (encoder(torch.rand(4, 3, 64, 64)) - 1).square().mean() < loss
    nn.init.zeros_(encoder.head[-1].weight)  # type: ignore[arg-type]
    encoder.head[-1].bias.data = torch.arange(30.0)  # type: ignore[union-attr]
    offsets = torch.arange(30.0).view(10, 3)
    torch.testing.assert_close(encoder(torch.rand(2, 3, 32, 32))[0], torch.cat([offsets[:1], offsets[:1] + offsets[1:]]))


def test_it_is_saved_and_loaded_whole(tmp_path: Path) -> None:
    torch.manual_seed(0)
    encoder = InversionEncoder(**TINY, layout="small", hidden=8).eval()
    nn.init.normal_(encoder.head[-1].weight)  # type: ignore[arg-type]
    encoder.latent_avg.normal_()
    encoder.save_pretrained(tmp_path)
    picture = torch.rand(1, 3, 32, 32)
    loaded = InversionEncoder.from_pretrained(tmp_path).eval()
    assert all(torch.equal(value, loaded.state_dict()[name]) for name, value in encoder.state_dict().items())
    torch.testing.assert_close(loaded(picture), encoder(picture))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"layout": "w"}, "give e4e, psp or small"),
        ({"input_size": 100}, "power of two"),
        ({"units": (1, 1)}, "four numbers each"),
        ({"layout": "small"}, "at least 1"),
    ],
)
def test_sizes_that_cannot_be_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        InversionEncoder(**TINY | wrong)
