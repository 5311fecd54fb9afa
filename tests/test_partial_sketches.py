from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import picture
from tiny_stylegan import drawn_face
from torch import Tensor

from oneshot_sketch import InputError
from oneshot_sketch.images import grey, to_tensor
from oneshot_sketch.partial_sketches import incomplete, latents_for, noise_strokes, partial, relined, render

SPIRAL = [0.5 + 0.4 * t * np.array([np.cos(9 * t), np.sin(9 * t)]) for t in np.linspace(0, 1, 40)]
STROKES = [np.stack(SPIRAL), np.array([[0.1, 0.1], [0.9, 0.2]]), np.array([[0.2, 0.9]]), np.array([[0.5, 0.9], [0.9, 0.9]])]


def sketches(side: int = 64) -> Tensor:
    drawn = grey(to_tensor([drawn_face(seed, side).convert("RGB") for seed in (0, 1)]))
    shaded = grey(to_tensor(picture(side, side, 3)))  # no paper to speak of
    return torch.cat([drawn, shaded])


def again(seed: int = 5) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def ink(images: Tensor) -> Tensor:
    return (images.flatten(2).quantile(0.9, 2)[..., None, None] - images).clamp(min=0).sum((1, 2, 3))


@pytest.mark.parametrize("part", [partial, incomplete])
def test_ink_only_grows_with_completion(part: Callable[..., Tensor]) -> None:
    whole = sketches()
    for seed in range(6):
        stages = [part(whole, completion, again(seed)) for completion in (0.3, 0.45, 0.6, 0.8, 1.0)]
        for less, more in pairwise(stages):
            assert (more <= less + 1e-6).all()
            assert (more < less - 1e-3).flatten(1).any(1).all()


def test_the_share_of_ink_is_the_completion_and_a_complete_sketch_is_the_sketch() -> None:
    whole = sketches()
    assert torch.equal(incomplete(whole, 1.0, again()), whole)
    paper = whole.flatten(2).quantile(0.9, 2)[..., None, None]
    for completion in (0.3, 0.5, 0.8):
        left = incomplete(whole, completion, again())
        kept = (paper - left).clamp(min=0).sum((1, 2, 3)) / ink(whole)
        assert kept[:2].tolist() == pytest.approx([completion] * 2, abs=0.06)
    both = incomplete(whole, torch.tensor([0.3, 1.0, 1.0]), again())
    assert torch.equal(both[0], incomplete(whole, 0.3, again())[0]) and torch.equal(both[1:], whole[1:])


def test_what_is_missing_is_strokes_and_components_not_grain() -> None:
    """Two crossing lines and a far dot: most pixels that lost their ink have neighbours that did so too."""
    plain = torch.ones(1, 1, 64, 64)
    plain[..., 30:33, 4:40] = -1
    plain[..., 10:60, 20:23] = -1
    plain[..., 50:56, 50:56] = -1
    dots = 0
    for seed in range(20):
        gone = incomplete(plain, 0.5, again(seed)) != plain
        alone = gone & (torch.nn.functional.avg_pool2d(gone.float(), 3, 1, 1) < 0.3)
        assert alone.sum() <= 0.1 * gone.sum()
        dot = gone[..., 50:56, 50:56].float().mean()
        dots += dot in (0.0, 1.0)
    assert dots >= 15


def test_draws_differ_and_are_the_sketches_own() -> None:
    whole = sketches()
    pieces = [partial(whole, 0.5, again(seed)) for seed in (1, 1, 2)]
    assert torch.equal(pieces[0], pieces[1])
    assert not torch.equal(pieces[0], pieces[2])
    twice = incomplete(whole[:1].expand(2, -1, -1, -1), 0.5, again())
    assert not torch.equal(twice[0], twice[1])
    neighbours = torch.cat([whole[:1], whole[2:]])
    assert torch.equal(incomplete(whole[:2], 0.5, again())[0], incomplete(neighbours, 0.5, again())[0])


def test_colour_stays_and_a_blank_sheet_stays_blank() -> None:
    tinted = sketches().expand(-1, 3, -1, -1) * torch.tensor([1.0, 0.8, 0.6]).view(1, 3, 1, 1)
    left = incomplete(tinted, 0.4, again())
    assert torch.equal(left[:, :1], incomplete(tinted, 0.4, again())[:, :1]) and left.shape == tinted.shape
    gone = (left != tinted).any(1)
    corner = tinted[:2].flatten(2).quantile(0.9, 2)
    assert all(torch.allclose(left[i][:, gone[i]].amin(1), corner[i], atol=1e-6) for i in range(2))
    blank = torch.full((1, 1, 32, 32), 0.7)
    assert torch.equal(incomplete(blank, 0.3, again()), blank)
    assert torch.equal(noise_strokes(blank, 0.5, again()), blank)


def test_lines_become_thicker_thinner_and_softer_but_never_out_of_range() -> None:
    whole = sketches(128)
    changed = torch.stack([ink(relined(whole, again(seed)))[0] / ink(whole)[0] for seed in range(12)])
    assert changed.min() < 0.95 and changed.max() > 1.2
    for seed in range(3):
        assert relined(whole, again(seed)).abs().max() <= 1
    # darker in, darker out: what makes `partial` grow with completion
    darker = torch.minimum(whole, whole.roll(5, -1))
    assert (relined(darker, again()) <= relined(whole, again()) + 1e-6).all()


def test_strokes_are_drawn_in_their_order_and_the_last_as_far_as_it_got() -> None:
    stages = [render(STROKES, completion, 64) for completion in np.linspace(0, 1, 14)]
    assert stages[0].eq(1).all() and stages[-1].shape == (1, 1, 64, 64) and stages[-1].min() == -1
    for less, more in pairwise(stages):
        assert (more <= less + 1e-6).all() and (more < less - 0.01).any()
    first = render(STROKES[:1], 1.0, 64)
    half = render(STROKES, 0.5, 64)
    assert ((half <= first + 1e-6).all() and (half < first).any()) or ((half >= first - 1e-6).all() and (half > first).any())
    line = render([np.array([[0.0, 0.5], [1.0, 0.5]])], 0.5, 100, 2.0)[0, 0]
    assert (line[50, :49] < -0.9).all() and (line[50, 53:] == 1).all()
    assert (1 - line).sum().item() / 2 == pytest.approx(2 * 50, rel=0.05)


def test_a_line_is_as_wide_as_it_was_asked_for_and_a_dot_is_a_dot() -> None:
    for width in (1.0, 2.5, 4.0):
        line = render([np.array([[0.1, 0.5], [0.9, 0.5]])], 1.0, 64, width)[0, 0]
        assert (1 - line[:, 32]).sum().item() / 2 == pytest.approx(width, abs=0.01)
    dot = render([np.array([[0.5, 0.25]])], 1.0, 64, 4.0)[0, 0]
    y, x = torch.nonzero(dot < 1, as_tuple=True)
    assert (y.float().mean().item() + 0.5, x.float().mean().item() + 0.5) == (16, 32)
    assert render([np.array([[-0.5, -0.5], [1.5, 1.5]])], 1.0, 32).diagonal(dim1=2, dim2=3).lt(-0.4).all()


def test_noise_strokes_add_their_share_and_take_nothing_away() -> None:
    whole = sketches()[:2]
    assert torch.equal(noise_strokes(whole, 0.0, again()), whole)
    before = ink(whole)
    stages = [noise_strokes(whole, share, again()) for share in (0.2, 0.5, 0.8)]
    assert (stages[0] <= whole).all()
    for less, more in pairwise(stages):
        assert (more <= less + 1e-6).all() and (more < less - 0.1).flatten(1).any(1).all()
    paper = whole.flatten(2).quantile(0.9, 2)[..., None, None]
    added = (paper - stages[-1]).clamp(min=0).sum((1, 2, 3)) / before - 1
    assert ((added > 0.3) & (added <= 0.85)).all()
    assert stages[-1].amin() >= whole.amin() - 1e-6


def test_latents_in_step_with_completion() -> None:
    assert [latents_for(c) for c in (0.3, 0.44, 0.45, 0.95, 1.0)] == [3, 4, 5, 10, 10]
    assert latents_for(0.3, 8) == 2 and latents_for(0.3, 1) == 1


def test_the_guides_example_runs_and_prints_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    guide = (Path(__file__).parents[1] / "docs/guides/partial_sketches.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", guide, flags=re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(code, "partial_sketches.md", "exec"), names)
    assert capsys.readouterr().out == "3\n"
    assert names["half"].shape == (1, 1, 64, 64) and not torch.equal(names["begun"], names["sketches"])


def test_refuses_what_it_cannot_use() -> None:
    with pytest.raises(InputError, match=r"completion is 1.2; it must be in \[0, 1\]"):
        partial(sketches(), 1.2, again())
    with pytest.raises(InputError, match="sketches must be"):
        partial(sketches()[0], 0.5, again())
    with pytest.raises(InputError, match="sketches must be"):
        relined(torch.zeros(1, 1, 8, 8, dtype=torch.uint8), again())
    with pytest.raises(InputError, match="share of noise strokes is -0.1"):
        noise_strokes(sketches(), -0.1, again())
    with pytest.raises(InputError, match=r"a stroke must be \(n, 2\)"):
        render([np.zeros((0, 2))], 1.0, 32)
    with pytest.raises(InputError, match="completion in"):
        render(STROKES, 1.5, 32)
