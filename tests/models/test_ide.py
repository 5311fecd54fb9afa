from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from oneshot_sketch import InputError
from oneshot_sketch.models.ide import FeatureAggregation, MLANet, MultiAttention, modified_vgg, srgan_discriminator


def parameters(net: torch.nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def test_the_generator_has_the_papers_size() -> None:
    assert parameters(MLANet()) == 3_068_290
    assert parameters(MLANet(head_kernel=5)) == 3_068_290 + 64 * 3 * (25 - 9)


@pytest.mark.parametrize("size", [(13, 13), (13, 30), (25, 19), (64, 64)])
def test_it_doubles_any_size(size: tuple[int, int]) -> None:
    fine = MLANet(channels=8, num_fams=1)(torch.rand(2, 3, *size))
    assert fine.shape == (2, 3, 2 * size[0], 2 * size[1])


@pytest.mark.parametrize("size", [(13, 17), (20, 31)])
def test_blocks_keep_the_shape(size: tuple[int, int]) -> None:
    x = torch.rand(2, 8, *size)
    assert FeatureAggregation(8, 4)(x).shape == MultiAttention(8, 4)(x).shape == x.shape


def test_attention_only_damps_and_the_coarse_one_by_half_at_most() -> None:
    block = MultiAttention(8, 4)
    block.local[1].weight.data.zero_()  # type: ignore[union-attr, operator]
    block.local[1].bias.data.fill_(100)  # type: ignore[union-attr, operator]
    x = torch.randn(1, 8, 20, 20)
    ratio = block(x) / block.value(x)
    assert (ratio >= 0.5 - 1e-5).all() and (ratio < 1).all() and ratio.std() > 0


def test_without_its_tail_it_is_bicubic() -> None:
    net, coarse = MLANet(channels=8, num_fams=1), torch.rand(1, 3, 16, 20)
    assert not torch.equal(net(coarse), F.interpolate(coarse, scale_factor=2, mode="bicubic"))
    net.tail_scale.data.zero_()
    assert torch.equal(net(coarse), F.interpolate(coarse, scale_factor=2, mode="bicubic"))


def test_every_parameter_is_used() -> None:
    net = MLANet(channels=8, num_fams=2)
    net(torch.rand(2, 3, 40, 40)).square().mean().backward()
    unused = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()]
    assert not unused


def test_it_is_saved_and_loaded(tmp_path: Path) -> None:
    net, coarse = MLANet(channels=8, num_fams=1), torch.rand(1, 3, 16, 16)
    net.save_pretrained(tmp_path)
    assert torch.equal(MLANet.from_pretrained(tmp_path)(coarse), net(coarse))


def test_too_small_a_sketch() -> None:
    with pytest.raises(InputError, match="13 or more on a side"):
        MLANet(channels=8, num_fams=1)(torch.rand(1, 3, 12, 40))


def test_discriminators() -> None:
    assert parameters(modified_vgg()) == 14_499_401  # ESRGAN's for 128 pixels
    for build in (modified_vgg, srgan_discriminator):
        assert build(64, channels=4)(torch.rand(2, 3, 64, 64)).shape == (2, 1)
        with pytest.raises(InputError, match="must be a multiple of"):
            build(72, channels=4)
    strides = [m.stride[0] for m in srgan_discriminator(64, 4) if isinstance(m, torch.nn.Conv2d)]
    assert strides == [1, 2] * 4
