from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from oneshot_sketch import InputError
from oneshot_sketch.models.most_net import Encoder, MostNet, SpatialNorm
from oneshot_sketch.models.patch_gan import patch_gan


def net(**changes: object) -> MostNet:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return MostNet(**{"width": 4, "residual_blocks": 1, "memory_items": 8} | changes)  # type: ignore[arg-type]


class Forbidden(nn.Module):
    def forward(self, *_: object) -> None:
        raise AssertionError("the sketch encoder was called")


@pytest.mark.parametrize("skips", [False, True])
def test_a_sketch_has_the_photos_size_and_one_channel(skips: bool) -> None:
    drawn = net(skips=skips)(torch.randn(2, 3, 36, 28))
    assert drawn.shape == (2, 1, 36, 28)
    assert drawn.abs().max() <= 1


def test_drawing_never_touches_the_sketch_encoder() -> None:
    most, photo = net(), torch.randn(1, 3, 32, 32)
    before = most(photo)
    most.sketch_encoder = Forbidden()
    assert torch.equal(most(photo), before)
    before.sum().backward()
    del most.sketch_encoder
    assert torch.equal(most(photo), before)


def test_drawing_changes_nothing_and_every_other_weight_counts() -> None:
    most = net().eval()
    before = {key: value.clone() for key, value in most.state_dict().items()}
    most(torch.randn(1, 3, 32, 32)).sum().backward()
    most.train()(torch.randn(1, 3, 32, 32))
    assert all(torch.equal(value, before[key]) for key, value in most.state_dict().items())
    unused = {name.split(".")[0] for name, p in most.named_parameters() if p.grad is None}
    assert unused == {"sketch_encoder"}
    named = dict(most.named_parameters())
    assert all(p.grad is not None for name, p in named.items() if not name.startswith("sketch_encoder"))


def test_the_style_is_what_the_memory_holds() -> None:
    most, photo = net(), torch.randn(1, 3, 32, 32)
    before = most(photo)
    most.memory.values.add_(1.0)
    assert (most(photo) - before).abs().mean() > 1e-3


def test_skips_carry_the_finer_features() -> None:
    most = net(skips=True)
    features, (finest, finer) = most.photo_encoder(torch.randn(1, 3, 32, 32))
    assert (finest.shape, finer.shape) == ((1, 4, 32, 32), (1, 8, 16, 16))
    before = most.draw(features, (finest, finer))
    assert not torch.equal(most.draw(features, (finest, 2 * finer)), before)
    plain = net()
    assert torch.equal(plain.draw(features, (finest, finer)), plain.draw(features, (finest, 2 * finer)))


def test_spade_normalises_the_content_and_the_style_scales_it() -> None:
    norm, x = SpatialNorm(6), 5 * torch.randn(2, 6, 8, 8) + 3
    nn.init.zeros_(norm.modulate.weight)
    assert norm.modulate.bias is not None
    norm.modulate.bias.data = torch.cat([torch.full((6,), 1.0), torch.full((6,), 0.5)])
    out = norm(x, torch.randn(2, 6, 8, 8))
    torch.testing.assert_close(out.mean((2, 3)), torch.full((2, 6), 0.5), atol=1e-4, rtol=0)
    torch.testing.assert_close(out.std((2, 3), correction=0), torch.full((2, 6), 2.0), atol=1e-3, rtol=0)


def test_both_encoders_have_the_same_build() -> None:
    photo, sketch = Encoder(3, 4, 2), Encoder(1, 4, 2)
    shapes = [[tuple(p.shape) for p in encoder.parameters()] for encoder in (photo, sketch)]
    assert shapes[0][1:] == shapes[1][1:]


def test_the_papers_sizes() -> None:
    """256 pixels: features of 256 channels at 64×64, hence 4096 slots; parameters as counted from the table of layers."""
    most = MostNet()
    with torch.no_grad():
        features, _ = most.photo_encoder(torch.zeros(1, 3, 256, 256))
    assert features.shape == (1, 256, 64, 64)
    conv = lambda a, b, k: a * b * k * k + b  # noqa: E731
    block = lambda a, b: 9 * b * (a + b)  # noqa: E731
    down_or_up = lambda a, b: block(a, b) + conv(a, b, 1)  # noqa: E731
    encoder = down_or_up(64, 128) + down_or_up(128, 256) + 4 * block(256, 256)
    injection = 2 * (conv(256, 128, 3) + conv(128, 512, 3) + conv(256, 256, 3))
    decoder = 2 * block(256, 256) + down_or_up(256, 128) + down_or_up(128, 64) + conv(64, 1, 7)
    expected = 49 * 64 * (3 + 1) + 2 * encoder + 3 * injection + decoder
    assert sum(p.numel() for p in most.parameters()) == expected


def test_a_verdict_sees_70_pixels() -> None:
    critic = patch_gan(2).eval()
    image = torch.zeros(1, 4, 256, 256, requires_grad=True)
    verdicts = critic(image)
    assert verdicts.shape == (1, 1, 30, 30)
    verdicts[0, 0, 15, 15].backward()
    assert image.grad is not None
    rows = image.grad.abs().sum((0, 1, 3)).nonzero().flatten()
    assert int(rows.max() - rows.min()) + 1 == 70


def test_it_is_saved_and_read_whole(tmp_path: Path) -> None:
    most, photo = net(canvas=(36, 28), skips=True), torch.randn(1, 3, 36, 28)
    most.save_pretrained(tmp_path)
    again = MostNet.from_pretrained(tmp_path)
    assert torch.equal(again(photo), most(photo))
    assert torch.equal(again.memory.keys, most.memory.keys)
    assert tuple(again.config["canvas"]) == (36, 28)


@pytest.mark.parametrize("changes", [{"width": 0}, {"canvas": (30, 32)}, {"canvas": (4, 32)}, {"memory_items": 0}])
def test_nonsense_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(InputError):
        net(**changes)
