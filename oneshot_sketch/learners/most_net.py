"""Pairs → a `MostNet`: the training of arXiv 2202.03596, written out."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from tqdm import tqdm

from oneshot_sketch.errors import InputError
from oneshot_sketch.images import fitted_size, grey, to_tensor
from oneshot_sketch.learners.checkpoint import Checkpoints, LatestState
from oneshot_sketch.learners.checks import check_settings
from oneshot_sketch.learners.draws import generator, in_passes
from oneshot_sketch.learners.most_net_features import StyleAndContent
from oneshot_sketch.learners.networks_state import NetworksRun
from oneshot_sketch.learners.shares import Shares
from oneshot_sketch.letterbox import letterbox
from oneshot_sketch.losses.adversarial import discriminator_loss, generator_loss
from oneshot_sketch.losses.memory import memory_refinement_loss
from oneshot_sketch.losses.perceptual import perceptual_mse_loss
from oneshot_sketch.models.memory import Assignment, cosines, slots_of
from oneshot_sketch.models.most_net import STRIDE, MostNet
from oneshot_sketch.models.patch_gan import patch_gan
from oneshot_sketch.pair import PhotoSketchPair


@dataclass(frozen=True, kw_only=True)
class MostNetConfig:
    """How to train a MOST-Net. The defaults are the paper's, or where it is silent, what its family of networks uses.

    Attributes:
        steps: of both optimisers. The paper trains for more than 1,000 epochs; on 268 pairs that is about 17,000.
        batch: pairs a step.
        generator_rate, discriminator_rate: of Adam (not legible in the paper; two time scales, as SPADE has).
        betas: of Adam.
        decay_share: the last part of the steps, over which both rates fall linearly to 0.
        adversarial_weight, reconstruction_weight, style_weight, content_weight, memory_weight: of the five losses.
        memory_measure: the refinement loss compares the "weights" of the read, or "cosine"s.
        memory_start: "slots" fills the memory from the first batch; "noise" is the paper's random start.
        revive_after: updates without any slot after which an item is planted anew; 0 is never.
        width, residual_blocks, memory_items, memory_decay, temperature, assignment, skips: of the `MostNet`.
        discriminator_width: of the PatchGAN.
        size: pixels; the canvas has about size² of them.
        square: fit every pair on a square; otherwise on a canvas of the first pair's shape.
        jitter: pairs are enlarged by this share and cropped at random (pix2pix: 286/256 − 1).
        flip: mirror half of the pairs.
        mixed_precision: "bf16" runs the networks under autocast.
        log_every: steps between points of the curve.
        seed: of every random draw.
    """

    steps: int = 17_000
    batch: int = 16
    generator_rate: float = 1e-4
    discriminator_rate: float = 4e-4
    betas: tuple[float, float] = (0.5, 0.999)
    decay_share: float = 0.0
    adversarial_weight: float = 1.0
    reconstruction_weight: float = 200.0
    style_weight: float = 40.0
    content_weight: float = 40.0
    memory_weight: float = 10.0
    memory_measure: Literal["weights", "cosine"] = "weights"
    memory_start: Literal["slots", "noise"] = "slots"
    revive_after: int = 200
    width: int = 64
    residual_blocks: int = 4
    memory_items: int = 512
    memory_decay: float = 0.999
    temperature: float = 0.1
    assignment: Assignment = "separate"
    skips: bool = False
    discriminator_width: int = 64
    size: int = 256
    square: bool = True
    jitter: float = 0.0
    flip: bool = False
    mixed_precision: Literal["no", "bf16"] = "no"
    log_every: int = 50
    seed: int = 0

    def __post_init__(self) -> None:
        weights = ("adversarial_weight", "reconstruction_weight", "style_weight", "content_weight", "memory_weight")
        check_settings(
            self,
            positive=("steps", "batch", "generator_rate", "discriminator_rate", "width", "discriminator_width", "log_every"),
            not_negative=(*weights, "revive_after", "residual_blocks"),
            shares=("decay_share", "jitter"),
        )
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas):
            raise InputError(f"betas are {self.betas}; they must be two numbers in [0, 1).")
        if not 32 <= self.size <= 4096:
            raise InputError(f"size is {self.size}; it must be 32 to 4,096 pixels.")


@dataclass(frozen=True)
class MostNetProgress:
    """What a callback sees after a step.

    Attributes:
        step: steps taken.
        losses: of this step, un-weighted, with the entropy of the memory's use and how many items were planted anew.
        curve: means over every `log_every` steps so far.
        net: the network as it is.
    """

    step: int
    losses: dict[str, float]
    curve: list[dict[str, float]]
    net: MostNet


@dataclass(frozen=True)
class _Pairs:
    """Photos (N, 3, h, w) and sketches (N, 1, h, w) in [-1, 1], the canvas (height, width) cut from them, the pixels' digest."""

    photos: Tensor
    sketches: Tensor
    canvas: tuple[int, int]
    digest: str


class MostNetLearner:
    """Trains a `MostNet` on pairs, one or many.

    Args:
        features: for the style and content losses; the paper's is `StyleAndContent.from_pretrained("vgg19")`. None only if both
            weigh 0.
        config: see `MostNetConfig`.
        device: where to train; None is CUDA if there is one.
    """

    def __init__(
        self, features: StyleAndContent | None, config: MostNetConfig | None = None, device: str | torch.device | None = None
    ) -> None:
        self.config = config or MostNetConfig()
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        if features is None and (self.config.style_weight or self.config.content_weight):
            raise InputError("style and content losses need a network's features; give some, or weigh both losses 0.")
        self.features = None if features is None else features.to(self.device)

    def learn(
        self,
        pairs: PhotoSketchPair | Sequence[PhotoSketchPair],
        *,
        checkpoint: str | Path | Checkpoints | None = None,
        checkpoint_every: int = 500,
        callback: Callable[[MostNetProgress], None] | None = None,
        stop: Callable[[], bool] = lambda: False,
        progress: bool = True,
        shares: Shares | None = None,
    ) -> MostNet:
        """Minimise the five losses against the discriminator (Eqs. 15–16).

        Args:
            checkpoint: folder for the state of the run, or where and when; if it holds one, the run goes on from there, to the
                same bytes as an unbroken one.
            checkpoint_every: steps, if `checkpoint` is a folder.
            callback: called after every step, in every process.
            stop: asked after every step; when true the state is put away and the network returned as it is.
            shares: the processes that learn together, each with its part of the batch. The main process writes checkpoints.

        Raises:
            InputError: no pair, fewer pairs a step than processes, or a checkpoint of another run.
        """
        config, shares = self.config, shares or Shares()
        data = self._prepare([pairs] if isinstance(pairs, PhotoSketchPair) else list(pairs))
        net, critic = self._networks(data.canvas)
        by_net = torch.optim.Adam(net.parameters(), config.generator_rate, betas=config.betas)
        by_critic = torch.optim.Adam(critic.parameters(), config.discriminator_rate, betas=config.betas)
        identity = {
            "settings": asdict(config),
            "pairs": data.digest,
            "features": self.features.name if self.features else "none",
        }
        run = NetworksRun({"net": net, "critic": critic}, {"net": by_net, "critic": by_critic}, identity, config.log_every)
        if isinstance(checkpoint, str | Path):
            checkpoint = LatestState(Path(checkpoint), checkpoint_every)
        if checkpoint is not None:
            run.resume(checkpoint.load(), checkpoint.folder)
            shares.check_step(run.step)
        scales = self._scales(data)
        bar = tqdm(total=config.steps, initial=run.step, desc="training", unit="step", disable=not progress)
        while run.step < config.steps:
            fade = min(1.0, (config.steps - run.step) / max(config.decay_share * config.steps, 1))
            by_net.param_groups[0]["lr"], by_critic.param_groups[0]["lr"] = (
                fade * rate for rate in (config.generator_rate, config.discriminator_rate)
            )
            fresh = generator(config.seed, 1 + run.step)
            photo, sketch, part = self._batch(data, run.step, fresh, shares)
            with torch.autocast(self.device.type, torch.bfloat16, enabled=config.mixed_precision == "bf16"):
                features, finer = net.photo_encoder(photo)
                taught, _ = net.sketch_encoder(sketch)
                planted = self._remember(net, features, taught, run.step, fresh, shares)
                drawn = net.draw(features, finer).float()

                verdicts = (critic(torch.cat([photo, s], 1)).float() for s in (sketch, drawn.detach()))
                against = discriminator_loss(*verdicts)
            self._move(by_critic, critic.parameters(), part * against, shares)

            critic.requires_grad_(False)
            with torch.autocast(self.device.type, torch.bfloat16, enabled=config.mixed_precision == "bf16"):
                losses = {
                    "adversarial": generator_loss(critic(torch.cat([photo, drawn], 1)).float()),
                    "reconstruction": (drawn - sketch).abs().mean(),
                    **self._perceptual(drawn, sketch, photo, scales),
                    "memory": self._refinement(net, features, taught),
                }
            total = sum((getattr(config, f"{name}_weight") * loss for name, loss in losses.items()), drawn.new_zeros(()))
            self._move(by_net, net.parameters(), part * total, shares)
            critic.requires_grad_(True)

            said = shares.sum(torch.stack([*losses.values(), against]).detach() * part).tolist()
            values = dict(zip((*losses, "discriminator"), said, strict=True))
            if not all(math.isfinite(value) for value in values.values()):
                raise InputError(f"the losses are no numbers any more at step {run.step}; use lower learning rates.")
            values |= {"entropy": net.memory.entropy, "planted": planted}
            run.advance(values)
            bar.update()
            if callback is not None:
                callback(MostNetProgress(run.step, values, run.curve, net))
            if checkpoint is not None and checkpoint.due(run.step) and shares.is_main:
                checkpoint.save(run.state())
            if shares.from_main(torch.tensor(int(stop()), device=self.device)):
                break
        bar.close()
        if checkpoint is not None and shares.is_main:
            checkpoint.save(run.state())
        return net.eval()

    def _prepare(self, pairs: Sequence[PhotoSketchPair]) -> _Pairs:
        """Every pair on the canvas, enlarged by the jitter."""
        if not pairs:
            raise InputError("there is no pair to learn from; give at least one.")
        config = self.config
        whole = STRIDE * round(config.size / STRIDE)
        width, height = (whole, whole) if config.square else fitted_size(pairs[0].photo.size, config.size, STRIDE)
        large = round(width * (1 + config.jitter)), round(height * (1 + config.jitter))
        photos = to_tensor([letterbox(pair.photo, large)[0] for pair in pairs])
        sketches = grey(to_tensor([letterbox(pair.sketch, large)[0] for pair in pairs]))
        digest = hashlib.sha256(photos.numpy().tobytes() + sketches.numpy().tobytes()).hexdigest()
        return _Pairs(photos, sketches, (height, width), digest)

    def _networks(self, canvas: tuple[int, int]) -> tuple[MostNet, nn.Module]:
        config = self.config
        with torch.random.fork_rng():
            torch.manual_seed(config.seed)
            net = MostNet(
                width=config.width,
                residual_blocks=config.residual_blocks,
                memory_items=config.memory_items,
                memory_decay=config.memory_decay,
                temperature=config.temperature,
                assignment=config.assignment,
                skips=config.skips,
                canvas=canvas,
            )
            critic = patch_gan(config.discriminator_width)
        for network in (net, critic):
            network.train().to(self.device)  # type: ignore[call-overload]
        return net, critic

    def _scales(self, data: _Pairs) -> tuple[list[float], list[float]]:
        """What style features of sketches and content features of photos are divided by."""
        if self.features is None:
            return [], []
        few = slice(0, 32)
        return (
            self.features.scales(data.sketches[few].to(self.device), self.features.style),
            self.features.scales(data.photos[few].to(self.device), self.features.content),
        )

    def _batch(self, data: _Pairs, step: int, fresh: torch.Generator, shares: Shares) -> tuple[Tensor, Tensor, float]:
        """This process's photos and sketches of a step, and its part of the whole batch.

        Pairs come in passes, each through all of them in an order of its own.
        """
        config, count, (height, width) = self.config, len(data.photos), data.canvas
        rows = in_passes(config.seed, range(step * config.batch, (step + 1) * config.batch), count)
        room = data.photos.shape[-2] - height, data.photos.shape[-1] - width
        top, left = (torch.randint(free + 1, (config.batch,), generator=fresh).tolist() for free in room)
        flip = (torch.rand(config.batch, generator=fresh) < 0.5).tolist() if config.flip else [False] * config.batch
        both = []
        for i in shares.of_range(config.batch):
            view = torch.cat([data.photos[rows[i]], data.sketches[rows[i]]])
            view = view[:, top[i] : top[i] + height, left[i] : left[i] + width]
            both.append(view.flip(-1) if flip[i] else view)
        photo, sketch = torch.stack(both).to(self.device).split([3, 1], dim=1)
        return photo, sketch, len(both) / config.batch

    def _remember(self, net: MostNet, photo: Tensor, sketch: Tensor, step: int, fresh: torch.Generator, shares: Shares) -> int:
        """Move the memory before it is read; returns how many dead items were planted anew."""
        config = self.config
        if step == 0 and config.memory_start == "slots":
            net.memory.fill(photo, sketch, fresh, shares.from_main)
        net.memory.update(photo, sketch, shares.sum)
        return net.memory.revive(config.revive_after, photo, sketch, fresh, shares.from_main) if config.revive_after else 0

    def _perceptual(
        self, drawn: Tensor, sketch: Tensor, photo: Tensor, scales: tuple[list[float], list[float]]
    ) -> dict[str, Tensor]:
        """Style against the sketch, content against the photo."""
        if self.features is None:
            return {"style": drawn.new_zeros(()), "content": drawn.new_zeros(())}
        style, content = self.features.style, self.features.content
        with torch.no_grad():
            wanted = [*self.features(sketch, style), *self.features(photo, content)]
        found = self.features(drawn, (*style, *content))
        pairs = [(a / s, b / s) for a, b, s in zip(found, wanted, scales[0] + scales[1], strict=True)]
        of_style, of_content = pairs[: len(style)], pairs[len(style) :]
        return {
            name: perceptual_mse_loss(*zip(*taps, strict=True)) for name, taps in (("style", of_style), ("content", of_content))
        }

    def _refinement(self, net: MostNet, photo: Tensor, sketch: Tensor) -> Tensor:
        temperature = net.memory.temperature if self.config.memory_measure == "weights" else None
        by_photo, by_sketch = cosines(slots_of(photo), net.memory.keys), cosines(slots_of(sketch), net.memory.values)
        return memory_refinement_loss(by_photo, by_sketch, temperature)

    @staticmethod
    def _move(optimiser: torch.optim.Optimizer, parameters: Iterable[nn.Parameter], loss: Tensor, shares: Shares) -> None:
        """One step on the gradients of all processes together."""
        optimiser.zero_grad()
        loss.backward()
        for p in parameters:
            p.grad = shares.sum(torch.zeros_like(p) if p.grad is None else p.grad)
        optimiser.step()
