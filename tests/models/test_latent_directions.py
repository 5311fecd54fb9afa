from __future__ import annotations

import pytest
import torch
from tiny_stylegan import tiny_stylegan

from oneshot_sketch import InputError
from oneshot_sketch.models.latent_directions import moved, principal_directions, semantic_directions
from oneshot_sketch.models.stylegan2_layers import StyledConv2d


def test_principal_directions_are_those_of_w() -> None:
    stylegan = tiny_stylegan()
    directions = principal_directions(stylegan, 4, draws=3000)
    assert directions.shape == (4, stylegan.num_ws, 16)
    assert torch.equal(directions[:, 0], directions[:, -1])
    w = stylegan.map(torch.randn(3000, 16, generator=torch.Generator().manual_seed(5)))[:, 0].detach()
    lengths = directions[:, 0].norm(dim=1)
    assert (lengths.diff() < 0).all()
    spread = ((w - w.mean(0)) @ (directions[:, 0] / lengths[:, None]).T).std(0)
    assert torch.allclose(spread, lengths, rtol=0.1), "each is one deviation long"
    cosines = directions[:, 0] @ directions[:, 0].T / lengths[:, None] / lengths
    assert torch.allclose(cosines, torch.eye(4), atol=1e-4)
    assert torch.equal(directions, principal_directions(stylegan, 4, draws=3000))


def test_semantic_directions_change_styles_most() -> None:
    stylegan = tiny_stylegan()
    directions = semantic_directions(stylegan, 16, layers=(2, 5))
    assert directions[:, :2].abs().max() == 0 == directions[:, 5:].abs().max()
    affines = [module.affine.weight for module in stylegan.synthesis.modules() if isinstance(module, StyledConv2d)][2:5]
    rows = torch.nn.functional.normalize(torch.cat([weight.detach() for weight in affines]), dim=1)
    moves = (rows @ directions[:, 2].T).norm(dim=0)
    assert (moves.diff() < 1e-4).all()
    assert moves[0] > 2 * moves[-1]
    assert torch.isclose(moves[0], torch.linalg.matrix_norm(rows, 2), rtol=1e-4)
    assert torch.allclose(directions[:, 2].norm(dim=1), torch.ones(16), atol=1e-5)


def test_moving_is_linear() -> None:
    ws, direction = torch.randn(2, 8, 16), torch.randn(8, 16)
    assert torch.equal(moved(ws, direction, 0.0), ws)
    there = moved(ws, direction, torch.tensor([1.0, -2.0]))
    assert torch.allclose(there - ws, torch.stack([direction, -2 * direction]), atol=1e-5)
    assert torch.allclose(moved(ws, direction[0], 1.0) - ws, direction[0].expand(2, 8, 16), atol=1e-5)


def test_what_does_not_fit_is_refused() -> None:
    stylegan, ws = tiny_stylegan(), torch.randn(2, 8, 16)
    for direction, amount in ((torch.randn(7, 16), 1.0), (torch.randn(16), float("nan")), (torch.randn(16), torch.ones(3))):
        with pytest.raises(InputError):
            moved(ws, direction, amount)
    with pytest.raises(InputError, match="not 17"):
        principal_directions(stylegan, 17, draws=100)
    with pytest.raises(InputError, match="layers are"):
        semantic_directions(stylegan, 1, layers=(3, 9))
    with pytest.raises(InputError, match="no convolution"):
        semantic_directions(stylegan, 1, layers=(7, 8))
