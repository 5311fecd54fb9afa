"""pix2pix (Isola et al. 2017) trained on the exemplar alone."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from oneshot_sketch.benchmark.system import register
from oneshot_sketch.images import grey, square, to_pil, to_tensor
from oneshot_sketch.models.patch_gan import patch_gan
from oneshot_sketch.pair import PhotoSketchPair

BATCH = 4


@register("pix2pix")
class Pix2Pix:
    """A U-Net against a 70-pixel PatchGAN, λ_L1 = 100, on random crops and flips of the pairs.

    Args:
        steps: of Adam on each side, 2e-4, β₁ 0.5, as in the paper.
        width: channels of the first layer; the paper's is 64.
        size: side of the pictures, a power of two.
    """

    def __init__(self, steps: int = 400, width: int = 32, size: int = 128, seed: int = 0) -> None:
        self.steps, self.width, self.size, self.seed = steps, width, size, seed

    def learn(self, pairs: Sequence[PhotoSketchPair]) -> None:
        with torch.random.fork_rng():
            torch.manual_seed(self.seed)
            self._learn(pairs)

    def _learn(self, pairs: Sequence[PhotoSketchPair]) -> None:
        large = round(self.size * 286 / 256)  # the paper's jitter
        photos = to_tensor([square(pair.photo, large) for pair in pairs])
        sketches = to_tensor([square(pair.sketch, large) for pair in pairs])
        both = torch.cat([photos, grey(sketches)], 1)
        self.generator = generator = UNet(self.width, depth=self.size.bit_length() - 1).train()
        critic = patch_gan(self.width)
        by_generator, by_critic = (torch.optim.Adam(net.parameters(), 2e-4, betas=(0.5, 0.999)) for net in (generator, critic))
        for _ in range(self.steps):
            photo, real = _jittered(both, self.size).split([3, 1], dim=1)
            fake = generator(photo)
            verdicts = critic(torch.cat([photo, real], 1)), critic(torch.cat([photo, fake.detach()], 1))
            _step(by_critic, (_against(verdicts[0], 1.0) + _against(verdicts[1], 0.0)) / 2)
            critic.requires_grad_(False)
            adversarial = _against(critic(torch.cat([photo, fake], 1)), 1.0)
            _step(by_generator, adversarial + 100 * F.l1_loss(fake, real))
            critic.requires_grad_(True)

    @torch.no_grad()
    def sketch(self, photos: Sequence[Image.Image]) -> list[Image.Image]:
        """One at a time, with dropout and the batch's own statistics, as the paper tests."""
        with torch.random.fork_rng():
            return [self._draw(photo) for photo in photos]

    def _draw(self, photo: Image.Image) -> Image.Image:
        torch.manual_seed(self.seed)
        drawn = self.generator(to_tensor(photo.resize((self.size, self.size), Image.Resampling.LANCZOS)))
        return to_pil(drawn)[0].resize(photo.size, Image.Resampling.LANCZOS)


class UNet(nn.Module):
    """Halve `depth` times to a single pixel and back, skipping across; (B, 3, H, W) → (B, 1, H, W) in [-1, 1]."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        widths = [min(width * 2**i, 8 * width) for i in range(depth)]
        self.down = nn.ModuleList()
        self.up = nn.ModuleList()
        for i, out in enumerate(widths):
            inside = 0 < i < depth - 1
            before = [nn.LeakyReLU(0.2)] if i else []
            norm = [nn.BatchNorm2d(out)] if inside else []
            self.down.append(nn.Sequential(*before, nn.Conv2d(widths[i - 1] if i else 3, out, 4, 2, 1), *norm))
        for i in reversed(range(depth)):
            into = widths[i] * (1 if i == depth - 1 else 2)
            after = [nn.BatchNorm2d(widths[i - 1])] if i else [nn.Tanh()]
            dropout = [nn.Dropout(0.5)] if depth - 4 <= i < depth - 1 else []
            up = nn.ConvTranspose2d(into, widths[i - 1] if i else 1, 4, 2, 1)
            self.up.append(nn.Sequential(nn.ReLU(), up, *after, *dropout))

    def forward(self, x: Tensor) -> Tensor:
        skipped = []
        for layer in self.down:
            x = layer(x)
            skipped.append(x)
        x = skipped.pop()
        for i, layer in enumerate(self.up):
            x = layer(x if i == 0 else torch.cat([x, skipped.pop()], 1))
        return x


def _jittered(both: Tensor, size: int) -> Tensor:
    """Random crops and flips of random pairs, (BATCH, 4, size, size)."""
    room = both.shape[-1] - size + 1
    crops = []
    for _ in range(BATCH):
        i, y, x, flip = (int(torch.randint(n, ())) for n in (len(both), room, room, 2))
        crop = both[i, :, y : y + size, x : x + size]
        crops.append(crop.flip(-1) if flip else crop)
    return torch.stack(crops)


def _against(verdict: Tensor, truth: float) -> Tensor:
    return F.binary_cross_entropy_with_logits(verdict, torch.full_like(verdict, truth))


def _step(optimiser: torch.optim.Optimizer, loss: Tensor) -> None:
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
