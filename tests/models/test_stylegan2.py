"""StyleGAN2 against a slow formula, against numbers of NVIDIA's implementation, and in every way it is used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.signal import convolve2d, correlate2d
from stylegan2_layouts import FFHQ, SMALL, nvidia_discriminator, nvidia_generator, weights
from torch import Tensor

from oneshot_sketch import models
from oneshot_sketch.models import StyleGAN2Discriminator, StyleGAN2Generator

TAPS = np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 64


@pytest.fixture
def state() -> dict[str, Tensor]:
    return weights(nvidia_generator(SMALL, z_dim=10, w_dim=8, layers=3))


@pytest.fixture
def generator(state: dict[str, Tensor]) -> StyleGAN2Generator:
    return StyleGAN2Generator.from_nvidia(state).requires_grad_(False)


def some_z(batch: int = 2) -> Tensor:
    return torch.sin(torch.arange(batch * 10.0)).view(batch, 10)


def zeros_between(x: np.ndarray) -> np.ndarray:
    out = np.zeros((2 * x.shape[0] - 1, 2 * x.shape[1] - 1))
    out[::2, ::2] = x
    return out


def slow_layer(state: dict[str, np.ndarray], name: str, x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Eqs. 1–3 of the paper for one picture: a kernel of its own, convolved map by map."""
    style = state[f"{name}.affine.weight"] @ w / np.sqrt(len(w)) + state[f"{name}.affine.bias"]
    kernel = state[f"{name}.weight"] * style[None, :, None, None]
    if not name.endswith("torgb"):
        kernel = kernel / np.sqrt((kernel**2).sum((1, 2, 3), keepdims=True) + 1e-8)
    if name.endswith("conv0"):
        raised = [sum(convolve2d(zeros_between(m), k) for m, k in zip(x, row, strict=True)) for row in kernel]
        y = np.stack([convolve2d(m, TAPS * 4)[2:-2, 2:-2] for m in raised])
    elif name.endswith("conv1"):
        y = np.stack([sum(correlate2d(m, k, "same") for m, k in zip(x, row, strict=True)) for row in kernel])
    else:
        return np.einsum("oi,ihw->ohw", kernel[:, :, 0, 0], x) / np.sqrt(len(x)) + state[f"{name}.bias"][:, None, None]
    y = y + state[f"{name}.noise_const"] * state[f"{name}.noise_strength"] + state[f"{name}.bias"][:, None, None]
    return np.where(y > 0, y, 0.2 * y) * np.sqrt(2)


def test_synthesis_is_the_papers_formula(generator: StyleGAN2Generator, state: dict[str, Tensor]) -> None:
    ws = torch.sin(torch.arange(2 * 8 * 8.0) * 1.3).view(2, 8, 8)
    out = generator.synthesize(ws)
    slow = {name: value.double().numpy() for name, value in state.items()}
    for n in range(2):
        x, image, maps, codes = slow["synthesis.b4.const"], None, [], ws[n].double().numpy()
        for side in SMALL:
            for layer in ("conv0", "conv1")[side == 4 :]:
                x = slow_layer(slow, f"synthesis.b{side}.{layer}", x, codes[len(maps)])
                maps.append(x)
            colour = slow_layer(slow, f"synthesis.b{side}.torgb", x, codes[len(maps)])
            if image is not None:
                image = np.stack([convolve2d(zeros_between(m), TAPS * 4)[1:-1, 1:-1] for m in image])
            image = colour if image is None else image + colour
        assert len(maps) == len(out.features) == 7
        for ours, expected in zip(out.features, maps, strict=True):
            np.testing.assert_allclose(ours[n].numpy(), expected, atol=1e-4)
        np.testing.assert_allclose(out.image[n].numpy(), image, atol=1e-4)


def test_nvidias_implementation_gives_these_numbers(generator: StyleGAN2Generator, state: dict[str, Tensor]) -> None:
    """Constants printed by stylegan2-ada-pytorch with the same weights."""
    ws = generator.map(some_z(), truncation_psi=0.5)
    torch.testing.assert_close(ws[1, 0, :4], torch.tensor([0.13616027, 0.50867176, 0.56419301, -0.70363498]), atol=1e-5, rtol=0)
    image = generator.synthesize(ws).image
    expected = torch.tensor([-8.96108437, 5.73117638, -0.85095644])
    torch.testing.assert_close(image[1, :, 10, 20], expected, atol=1e-4, rtol=0)
    torch.testing.assert_close(image[0, 0, 0, :3], torch.tensor([1.16642594, 0.28359103, -2.66721869]), atol=1e-4, rtol=0)
    clamped = StyleGAN2Generator.from_nvidia(state, conv_clamp=1).synthesize(ws)
    expected = torch.tensor([-2.25362039, 1.17036974, 0.38470411])
    torch.testing.assert_close(clamped.image[1, :, 10, 20], expected, atol=1e-4, rtol=0)
    assert max(x.abs().max() for x in clamped.features) == 1


@pytest.mark.parametrize(
    ("clamp", "logits"),
    [
        (None, [-0.72198123, -0.72209984, -0.71221638, -0.72172630]),
        (0.8, [-0.65842855, -0.65832239, -0.65812135, -0.65822107]),
    ],
)
def test_nvidias_discriminator_gives_these_logits(clamp: float | None, logits: list[float]) -> None:
    discriminator = StyleGAN2Discriminator.from_nvidia(weights(nvidia_discriminator(SMALL)), clamp, mbstd_group_size=2)
    photos = torch.sin(torch.arange(4 * 3 * 32 * 32.0) * 0.3).view(4, 3, 32, 32) * torch.tensor([1, 0.5, 2, -1]).view(4, 1, 1, 1)
    torch.testing.assert_close(discriminator(photos).flatten(), torch.tensor(logits), atol=1e-5, rtol=0)


def test_seventeen_maps_at_1024() -> None:
    """Sides and channels of spec 2 §2, without computing them."""
    with torch.device("meta"):
        generator = StyleGAN2Generator()
        out = generator.synthesize(torch.zeros(1, 18, 512))
    expected = [(FFHQ[side], side, side) for side in FFHQ for _ in range(1 if side == 4 else 2)]
    assert [tuple(x.shape[1:]) for x in out.features] == expected
    assert len(expected) == 17 and generator.num_ws == 18
    assert tuple(out.image.shape) == (1, 3, 1024, 1024)
    assert sum(p.numel() for p in generator.parameters()) == 30_370_060
    with torch.device("meta"):
        assert sum(p.numel() for p in StyleGAN2Discriminator().parameters()) == 29_012_513


def test_truncation(generator: StyleGAN2Generator) -> None:
    z = some_z()
    full, half = generator.map(z), generator.map(z, truncation_psi=0.5)
    torch.testing.assert_close(half, (full + generator.w_avg) / 2)
    torch.testing.assert_close(generator.map(z, truncation_psi=0), generator.w_avg.expand_as(full))
    cut = generator.map(z, truncation_psi=0.5, truncation_cutoff=3)
    assert torch.equal(cut[:, :3], half[:, :3]) and torch.equal(cut[:, 3:], full[:, 3:])
    torch.testing.assert_close(generator.map(z * 7), full)


def test_noise(generator: StyleGAN2Generator) -> None:
    ws = generator.map(some_z(1)).expand(2, -1, -1)

    def image(mode: Any, seed: int | None = None) -> Tensor:
        source = None if seed is None else torch.Generator().manual_seed(seed)
        return generator.synthesize(ws, mode, source).image

    assert torch.equal(image("const"), image("const"))
    torch.testing.assert_close(image("const")[0], image("const")[1], atol=1e-5, rtol=1e-5)
    assert torch.equal(image("random", 1), image("random", 1))
    assert not torch.equal(image("random", 1), image("random", 2))
    assert not torch.equal(image("random", 1)[0], image("random", 1)[1])
    quiet = image("none")
    assert not torch.equal(quiet, image("const"))
    for name, value in generator.named_parameters():
        if name.endswith("noise_strength"):
            value.zero_()
    assert torch.equal(quiet, image("const"))


def test_neighbours_in_a_batch_change_nothing(generator: StyleGAN2Generator) -> None:
    ws = generator.map(some_z(3))
    together = generator.synthesize(ws)
    alone = generator.synthesize(ws[1:2])
    torch.testing.assert_close(together.image[1:2], alone.image, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(together.features[-1][1:2], alone.features[-1], atol=1e-5, rtol=1e-5)


def test_bfloat16_is_close(generator: StyleGAN2Generator) -> None:
    ws = generator.map(some_z())
    exact = generator.synthesize(ws)
    rough = generator.to(torch.bfloat16).synthesize(ws)
    assert rough.image.dtype == torch.bfloat16
    for a, b in zip([exact.image, *exact.features], [rough.image, *rough.features], strict=True):
        assert (a - b.float()).norm() / a.norm() < 0.03
    assert generator(some_z()).image.isfinite().all()


def test_gradients_reach_every_w(generator: StyleGAN2Generator) -> None:
    ws = generator.map(some_z()).requires_grad_()
    generator.synthesize(ws).image.square().mean().backward()
    assert ws.grad is not None
    assert (ws.grad.abs().amax(2) > 0).all()
    step = torch.sin(torch.arange(float(ws.numel()))).view_as(ws) * 1e-3
    with torch.no_grad():
        there, back = (generator.synthesize(ws + s).image.double().square().mean() for s in (step, -step))
    assert float((ws.grad * step).sum()) == pytest.approx(float(there - back) / 2, rel=0.02)


def test_gradients_of_gradients(generator: StyleGAN2Generator) -> None:
    """As the path-length penalty needs them."""
    generator.requires_grad_(True)
    ws = generator.map(some_z())
    (slope,) = torch.autograd.grad(generator.synthesize(ws).image.sum(), ws, create_graph=True)
    slope.square().mean().backward()
    for name, value in generator.named_parameters():
        if name.endswith(("conv1.weight", "affine.weight")):
            assert value.grad is not None and value.grad.isfinite().all() and value.grad.any(), name


def test_saved_and_loaded(generator: StyleGAN2Generator, tmp_path: Path) -> None:
    generator.save_pretrained(tmp_path)
    again = StyleGAN2Generator.from_pretrained(tmp_path)
    assert again.config["resolution"] == 32
    assert torch.equal(again(some_z()).image, generator(some_z()).image)


def test_mean_w_is_estimated_the_same_each_time(generator: StyleGAN2Generator) -> None:
    expected = generator.mapping(torch.randn(500, 10, generator=torch.Generator().manual_seed(3))).mean(0)
    assert torch.equal(generator.estimate_w_avg(500, seed=3), expected)
    assert torch.equal(generator.w_avg, expected)


def test_codes_of_another_shape_are_refused(generator: StyleGAN2Generator) -> None:
    with pytest.raises(ValueError, match=r"ws is \(1, 7, 8\); give \(B, 8, 8\)"):
        generator.synthesize(torch.zeros(1, 7, 8))
    with pytest.raises(ValueError, match="resolution is 48"):
        StyleGAN2Generator(48)


@pytest.mark.parametrize("backend", ["aot_eager", pytest.param("inductor", marks=pytest.mark.slow)])
def test_compiled_whole(generator: StyleGAN2Generator, backend: str) -> None:
    """Traced without a break; only inductor makes code of its own, for which it needs a C++ compiler and a minute."""
    ws = generator.map(some_z())
    compiled = torch.compile(generator.synthesize, fullgraph=True, backend=backend)(ws)
    eager = generator.synthesize(ws)
    torch.testing.assert_close(compiled.image, eager.image, atol=1e-4, rtol=1e-4)
    for a, b in zip(compiled.features, eager.features, strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)


def test_public_names_resolve() -> None:
    assert all(getattr(models, name).__doc__ for name in models.__all__)
    with pytest.raises(AttributeError, match="no attribute 'StyleGAN4'"):
        _ = models.StyleGAN4  # type: ignore[attr-defined]
