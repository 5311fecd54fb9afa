"""Directions in a StyleGAN's W+ along which faces change, found in the network itself."""

from __future__ import annotations

import torch
from torch import Tensor

from oneshot_sketch.errors import InputError
from oneshot_sketch.models.stylegan2 import StyleGAN2Generator
from oneshot_sketch.models.stylegan2_layers import StyledConv2d

Layers = tuple[int, int] | None
"""First layer moved and the one after the last; None is all of them. The first few turn the head, the last ones colour it."""


@torch.no_grad()
def principal_directions(
    generator: StyleGAN2Generator, count: int, draws: int = 10_000, seed: int = 0, layers: Layers = None
) -> Tensor:
    """GANSpace (Härkönen et al. 2020): principal components of w over random z, the widest first.

    Returns:
        (count, num_ws, w_dim) float32 on the CPU, each one standard deviation long; its largest entry is positive.

    Raises:
        InputError: more directions than w has dimensions, or than draws.
    """
    _check(count, min(draws - 1, generator.config["w_dim"]))
    z = torch.randn(draws, generator.config["z_dim"], generator=torch.Generator().manual_seed(seed))
    w = generator.map(z.to(generator.w_avg.device))[:, 0].double().cpu()
    variance, basis = torch.linalg.eigh((w - w.mean(0)).T @ (w - w.mean(0)) / (draws - 1))
    found = basis.flip(1)[:, :count].T * variance.flip(0)[:count, None].clamp(min=0).sqrt()
    return _spread(found, generator.num_ws, layers)


@torch.no_grad()
def semantic_directions(generator: StyleGAN2Generator, count: int, layers: Layers = None) -> Tensor:
    """SeFa (Shen & Zhou 2021): the w that change the convolutions' styles most, eigenvectors of AᵀA of their affine layers.

    Args:
        layers: also which convolutions are asked.

    Returns:
        (count, num_ws, w_dim) float32 on the CPU, each of length 1 in w; its largest entry is positive.

    Raises:
        InputError: more directions than w has dimensions.
    """
    _check(count, generator.config["w_dim"])
    first, stop = _range(generator.num_ws, layers)
    styles = [module.affine.weight for module in generator.synthesis.modules() if isinstance(module, StyledConv2d)]
    # As in the authors' code every output of an affine layer counts for the same, whatever its length.
    if not styles[first:stop]:
        raise InputError(f"layers {first} to {stop} hold no convolution; this StyleGAN has 0 to {len(styles)}.")
    rows = torch.cat([torch.nn.functional.normalize(weight.double().cpu(), dim=1) for weight in styles[first:stop]])
    _, basis = torch.linalg.eigh(rows.T @ rows)
    return _spread(basis.flip(1)[:, :count].T, generator.num_ws, layers)


def moved(ws: Tensor, direction: Tensor, amount: float | Tensor) -> Tensor:
    """w+ moved by `amount` times a direction.

    Args:
        ws: (B, num_ws, w_dim).
        direction: (w_dim,) for all layers alike, or (num_ws, w_dim).
        amount: a number, or (B,) one each.

    Raises:
        InputError: a direction of another shape, or values that are not finite.
    """
    if direction.shape not in (ws.shape[1:], ws.shape[2:]):
        raise InputError(f"the direction is {tuple(direction.shape)}; this StyleGAN needs {tuple(ws.shape[1:])}.")
    amount = torch.as_tensor(amount, dtype=ws.dtype, device=ws.device)
    if amount.shape not in ((), ws.shape[:1]) or not (direction.isfinite().all() and amount.isfinite().all()):
        raise InputError(f"an edit needs finite numbers and one amount, or one for each of {len(ws)} latents.")
    return ws + amount.view(-1, 1, 1) * direction.to(ws)


def _check(count: int, limit: int) -> None:
    if not 1 <= count <= limit:
        raise InputError(f"there are {limit} directions to find, not {count}; ask for 1 to {limit}.")


def _range(num_ws: int, layers: Layers) -> tuple[int, int]:
    first, stop = layers or (0, num_ws)
    if not 0 <= first < stop <= num_ws:
        raise InputError(f"layers are {first} to {stop}; this StyleGAN has 0 to {num_ws}.")
    return first, stop


def _spread(found: Tensor, num_ws: int, layers: Layers) -> Tensor:
    first, stop = _range(num_ws, layers)
    sign = found.gather(1, found.abs().argmax(1, keepdim=True)).sign()
    directions = torch.zeros(len(found), num_ws, found.shape[1])
    directions[:, first:stop] = (found * sign).float()[:, None]
    return directions
