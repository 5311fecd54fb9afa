"""Neural style transfer by optimisation (Gatys, Ecker & Bethge 2016)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.models import squeezenet1_1, vgg19

from oneshot_sketch.benchmark.system import Unavailable, register
from oneshot_sketch.errors import InputError
from oneshot_sketch.images import fitted_size, grey, to_pil, to_tensor
from oneshot_sketch.models.tapped_features import CAFFE_BGR, TORCHVISION
from oneshot_sketch.pair import PhotoSketchPair

# network → constructor, indices in `.features` of the style taps and of the content tap
NETWORKS = {"vgg19": (vgg19, (1, 6, 11, 20, 29), 22), "squeezenet": (squeezenet1_1, (1, 4, 7, 10, 12), 7)}


@register("gatys")
class Gatys:
    """Content of the photo's luma, Gram matrices of the exemplar's sketch; the sketch's pixels are optimised.

    Args:
        network: "vgg19" (the paper's) or "squeezenet".
        weights: a state dict of torchvision's names; None takes torchvision's own from its cache or the network.
        caffe: whether those weights read Caffe's input.
        iterations: of Adam.
        style_weight: of the Gram loss against the content loss, each tap divided by its own scale.
        size: the shorter side is optimised at about this many pixels.
    """

    def __init__(
        self,
        network: str = "vgg19",
        weights: str | Path | None = None,
        caffe: bool = False,
        iterations: int = 150,
        learning_rate: float = 0.05,
        style_weight: float = 10.0,
        size: int = 128,
    ) -> None:
        if network not in NETWORKS:
            raise InputError(f"there is no network {network!r}; choose one of {', '.join(NETWORKS)}.")
        build, self.style_taps, self.content_tap = NETWORKS[network]
        self.features: nn.Sequential = _load(build, weights).eval().requires_grad_(False)
        for layer in self.features:
            if isinstance(layer, nn.ReLU):
                layer.inplace = False
        self.caffe, self.iterations, self.learning_rate = caffe, iterations, learning_rate
        self.style_weight, self.size = style_weight, size

    def learn(self, pairs: Sequence[PhotoSketchPair]) -> None:
        grams = [self._grams(self._taps(self._seen(pair.sketch))) for pair in pairs]
        self.style = [torch.stack(tap).mean(0) for tap in zip(*grams, strict=True)]

    def sketch(self, photos: Sequence[Image.Image]) -> list[Image.Image]:
        return [self._draw(photo) for photo in photos]

    def _draw(self, photo: Image.Image) -> Image.Image:
        seen = self._seen(photo)
        with torch.no_grad():
            content = self._taps(seen)[self.content_tap]
        drawn = grey(seen).clone().requires_grad_()
        optimiser = torch.optim.Adam([drawn], lr=self.learning_rate)
        for _ in range(self.iterations):
            taps = self._taps(drawn.expand(-1, 3, -1, -1))
            loss = (taps[self.content_tap] - content).square().mean() / content.square().mean()
            for gram, wanted in zip(self._grams(taps), self.style, strict=True):
                loss = loss + self.style_weight * (gram - wanted).square().sum() / wanted.square().sum() / len(self.style)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            with torch.no_grad():
                drawn.clamp_(-1, 1)
        return to_pil(drawn)[0].resize(photo.size, Image.Resampling.LANCZOS)

    def _seen(self, image: Image.Image) -> Tensor:
        luma = grey(to_tensor(image.resize(fitted_size(image.size, self.size), Image.Resampling.LANCZOS)))
        return luma.expand(-1, 3, -1, -1)

    def _taps(self, image: Tensor) -> dict[int, Tensor]:
        unit = image / 2 + 0.5
        x = unit.flip(1) * 255 if self.caffe else unit
        mean, deviation = (x.new_tensor(v).view(1, 3, 1, 1) for v in (CAFFE_BGR if self.caffe else TORCHVISION))
        x = (x - mean) / deviation
        taps: dict[int, Tensor] = {}
        for index, layer in enumerate(self.features):
            x = layer(x)
            if index in (*self.style_taps, self.content_tap):
                taps[index] = x
            if len(taps) == len({*self.style_taps, self.content_tap}):
                break
        return taps

    def _grams(self, taps: dict[int, Tensor]) -> list[Tensor]:
        """(C, C) mean products of channels at each style tap."""
        flat = [taps[index][0].flatten(1) for index in self.style_taps]
        return [f @ f.T / f.shape[1] for f in flat]


def _load(build: Callable[..., Any], weights: str | Path | None) -> nn.Sequential:
    """The layers before the classifier."""
    if weights is None:
        try:
            return build(weights="DEFAULT").features
        except Exception as error:
            raise Unavailable(f"torchvision's weights cannot be had here ({str(error).splitlines()[0]})") from None
    network = build(weights=None)
    try:
        state = torch.load(weights, map_location="cpu", weights_only=True)
        network.load_state_dict({name: value.float() for name, value in state.items()})
    except FileNotFoundError:
        raise Unavailable(f"{weights} is not here") from None
    except Exception as error:
        raise InputError(f"{weights} does not hold the weights of this network ({str(error).splitlines()[0]}).") from None
    return network.features
