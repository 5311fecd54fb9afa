"""Neural style transfer by optimisation (Gatys, Ecker & Bethge 2016)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from oneshot_sketch.benchmark.system import or_unavailable, register
from oneshot_sketch.images import fitted_size, grey, to_pil, to_tensor
from oneshot_sketch.models.perceptual_features import PerceptualFeatures, of_network
from oneshot_sketch.pair import PhotoSketchPair

# network → layers of style, layer of content
HEARD = {
    "vgg19": (("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"), "relu4_2"),
    "squeezenet": (("relu1", "fire3", "fire5", "fire7", "fire9"), "fire5"),
}


@register("gatys")
class Gatys:
    """Content of the photo's luma, Gram matrices of the exemplar's sketch; the sketch's pixels are optimised.

    Args:
        network: "vgg19" (the paper's) or "squeezenet".
        weights: a state dict of torchvision's names; None takes torchvision's own from its cache or the network.
        caffe: whether those weights read Caffe's input.
        iterations: of Adam.
        style_weight: of the Gram loss against the content loss, each layer divided by its own scale.
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
        self.style_layers, self.content_layer = of_network(HEARD, network)
        layers = dict.fromkeys((*self.style_layers, self.content_layer))
        self.features = or_unavailable(
            lambda: PerceptualFeatures.from_pretrained(network, tuple(layers), weights, caffe), weights
        )
        self.iterations, self.learning_rate = iterations, learning_rate
        self.style_weight, self.size = style_weight, size

    def learn(self, pairs: Sequence[PhotoSketchPair]) -> None:
        grams = [self._grams(self._maps(self._seen(pair.sketch))) for pair in pairs]
        self.style = [torch.stack(layer).mean(0) for layer in zip(*grams, strict=True)]

    def sketch(self, photos: Sequence[Image.Image]) -> list[Image.Image]:
        return [self._draw(photo) for photo in photos]

    def _draw(self, photo: Image.Image) -> Image.Image:
        seen = self._seen(photo)
        with torch.no_grad():
            content = self._maps(seen)[self.content_layer]
        drawn = grey(seen).clone().requires_grad_()
        optimiser = torch.optim.Adam([drawn], lr=self.learning_rate)
        for _ in range(self.iterations):
            maps = self._maps(drawn.expand(-1, 3, -1, -1))
            loss = (maps[self.content_layer] - content).square().mean() / content.square().mean()
            for gram, wanted in zip(self._grams(maps), self.style, strict=True):
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

    def _maps(self, image: Tensor) -> dict[str, Tensor]:
        return dict(zip(self.features.layers, self.features(image / 2 + 0.5), strict=True))

    def _grams(self, maps: dict[str, Tensor]) -> list[Tensor]:
        """(C, C) mean products of channels at each layer of style."""
        flat = [maps[layer][0].flatten(1) for layer in self.style_layers]
        return [f @ f.T / f.shape[1] for f in flat]
