"""Pairs → both stages of IDE: the patch field, and the generator that learns to mend its sketches."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from oneshot_sketch.errors import InputError
from oneshot_sketch.learners.checkpoint import Checkpoints, LatestState, State
from oneshot_sketch.learners.ide_config import IDELearnerConfig
from oneshot_sketch.learners.ide_material import IDEMaterial, crops, fit_field, prepare
from oneshot_sketch.learners.networks_state import take_up, tensors_of
from oneshot_sketch.learners.state import check_same_run
from oneshot_sketch.losses.adversarial import discriminator_loss, generator_loss
from oneshot_sketch.losses.perceptual import perceptual_loss
from oneshot_sketch.models.ide import DISCRIMINATORS, MLANet
from oneshot_sketch.models.patch_field import PatchField
from oneshot_sketch.models.perceptual_features import PerceptualFeatures, of_network
from oneshot_sketch.pair import PhotoSketchPair

# network → the layer of the perceptual loss; the paper's is VGG-19's last convolution, before its ReLU
PERCEPTUAL_LAYER = {"vgg19": "conv5_4", "squeezenet": "fire9"}


@dataclass(frozen=True)
class IDEStep:
    """What a callback sees after a step: unweighted losses, and the generator as it is."""

    step: int
    losses: Mapping[str, float]
    field: PatchField
    enhancer: MLANet


@dataclass(frozen=True)
class LearnedIDE:
    """Both stages, the settings they were learned with, and every `save_every` steps the mean losses since the last time."""

    field: PatchField
    enhancer: MLANet
    config: IDELearnerConfig
    features: str | None
    curve: tuple[dict[str, float], ...]


class IDELearner:
    """Learns both stages of IDE from any number of aligned pairs; from a single one too.

    Args:
        config: see `IDELearnerConfig`.
        features: of the perceptual loss, heard at one layer, see `perceptual_features`; may be left out if its weight is 0.
        device: of both stages.

    Raises:
        InputError: a perceptual weight without features.
    """

    def __init__(
        self,
        config: IDELearnerConfig | None = None,
        features: PerceptualFeatures | None = None,
        device: str | torch.device = "cpu",
    ) -> None:
        self.config = config = config or IDELearnerConfig()
        if config.perceptual_weight and features is None:
            raise InputError("the perceptual loss needs features; give perceptual_features(), or set perceptual_weight to 0.")
        self.device = torch.device(device)
        self.features = features.to(self.device) if features is not None and config.perceptual_weight else None

    def learn(
        self,
        pairs: PhotoSketchPair | Sequence[PhotoSketchPair],
        *,
        folder: str | Path | None = None,
        checkpoint: Checkpoints | None = None,
        callback: Callable[[IDEStep], None] | None = None,
        progress: bool = True,
    ) -> LearnedIDE:
        """Fit stage one, draw every training photo without its own pair, and train stage two on those sketches.

        Args:
            folder: keeps the coarse sketches and every `save_every` steps the state; a run found there goes on, to the
                same bytes as an unbroken one. A run may be gone on with for more steps than it was begun for.
            checkpoint: keeps the state elsewhere or at other times than `folder` would.
            callback: called after every step.

        Raises:
            InputError: no pairs, pairs of several shapes, pictures too small for a crop, or the state of another run.
        """
        config, pairs = self.config, [pairs] if isinstance(pairs, PhotoSketchPair) else list(pairs)
        if checkpoint is None and folder is not None:
            checkpoint = LatestState(Path(folder) / "state", config.save_every)
        field = fit_field(pairs, config).to(self.device)  # pyright: ignore[reportArgumentType]
        material = prepare(pairs, field, config, Path(folder) / "coarse" if folder else None, progress)
        run = _Run(config, self._identity(material), self.device)
        if checkpoint is not None:
            run.resume(checkpoint.load(), checkpoint.folder)
        bar = tqdm(total=config.steps, initial=run.step, desc="learning", unit="step", disable=not progress)
        with bar:
            while run.step < config.steps:
                coarse, artist = (side.to(self.device) for side in crops(material, config, run.step))
                run.set_rate(config.learning_rate * 0.5 ** sum(run.step >= m for m in config.milestones))

                run.discriminator.requires_grad_(False)
                with self._autocast():
                    fine = run.enhancer(coarse)
                    maps = [self.features(x) for x in (fine, artist)] if self.features else []
                    verdict = run.discriminator(fine) if config.adversarial_weight else None
                terms = {"pixel": F.l1_loss(fine.float(), artist)}
                if maps:
                    terms["perceptual"] = perceptual_loss(*([map.float() for map in of] for of in maps))
                if verdict is not None:
                    terms["adversarial"] = generator_loss(verdict.float())
                run.by_enhancer.zero_grad()
                torch.stack([getattr(config, f"{name}_weight") * term for name, term in terms.items()]).sum().backward()
                run.by_enhancer.step()

                if config.adversarial_weight:
                    run.discriminator.requires_grad_(True)
                    with self._autocast():
                        verdicts = run.discriminator(artist), run.discriminator(fine.detach())
                    terms["discriminator"] = discriminator_loss(*(v.float() for v in verdicts))
                    run.by_discriminator.zero_grad()
                    terms["discriminator"].backward()
                    run.by_discriminator.step()

                losses = run.advance(terms)
                bar.update()
                bar.set_postfix({name: f"{value:.4f}" for name, value in losses.items()})
                last = run.step == config.steps
                if last or run.step % config.save_every == 0:
                    run.note()
                if callback is not None:
                    callback(IDEStep(run.step, losses, field, run.enhancer))
                if checkpoint is not None and (last or checkpoint.due(run.step)):
                    checkpoint.save(run.state())
        return LearnedIDE(field, run.enhancer.eval(), config, self._heard(), tuple(run.curve))

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.precision == "bfloat16")

    def _identity(self, material: IDEMaterial) -> dict[str, Any]:
        """What must agree for a state to belong to this run; all that shapes its first steps, so not their number."""
        config = {key: value for key, value in asdict(self.config).items() if key not in ("steps", "save_every", "field")}
        return {"config": config, "features": self._heard(), "pictures": material.digest}

    def _heard(self) -> str | None:
        return f"{self.features.name}, {', '.join(self.features.layers)}" if self.features else None


def perceptual_features(
    network: str = "vgg19", weights: str | Path | None = None, caffe: bool = False, layer: str | None = None
) -> PerceptualFeatures:
    """What the perceptual loss of IDE compares.

    Args:
        network: "vgg19" (the paper's) or "squeezenet".
        weights, caffe: of `PerceptualFeatures.from_pretrained`.
        layer: None is conv5_4 of VGG-19, fire9 of SqueezeNet.

    Raises:
        InputError: another network or layer, or weights that are not to be had.
    """
    usual = of_network(PERCEPTUAL_LAYER, network)
    return PerceptualFeatures.from_pretrained(network, (layer or usual,), weights, caffe)


class _Run:
    """The moving parts of stage two's training, and how they are put away and taken up again."""

    def __init__(self, config: IDELearnerConfig, identity: dict[str, Any], device: torch.device) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.enhancer = MLANet(3, config.channels, config.num_fams, config.reduction, config.head_kernel)
            build = DISCRIMINATORS[config.discriminator]
            self.discriminator: nn.Module = build(config.crop, config.discriminator_channels)
        self._nets: dict[str, nn.Module] = {"enhancer": self.enhancer, "discriminator": self.discriminator}
        for net in self._nets.values():
            net.to(device=device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        rate = config.learning_rate
        self.by_enhancer, self.by_discriminator = (torch.optim.Adam(net.parameters(), rate) for net in self._nets.values())
        self._optimisers = {"enhancer": self.by_enhancer, "discriminator": self.by_discriminator}
        self.identity, self.step = identity, 0
        self.curve: list[dict[str, float]] = []
        self._sums: dict[str, float] = {}
        self._counted = 0

    def set_rate(self, rate: float) -> None:
        for optimiser in self._optimisers.values():
            for group in optimiser.param_groups:
                group["lr"] = rate

    def advance(self, terms: Mapping[str, Tensor]) -> dict[str, float]:
        losses = {name: float(term.detach()) for name, term in terms.items()}
        self.step += 1
        self._counted += 1
        for name, value in losses.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        return losses

    def note(self) -> None:
        """Put the mean losses since the last time on the curve."""
        self.curve.append({"step": self.step, **{name: total / self._counted for name, total in self._sums.items()}})
        self._sums, self._counted = {}, 0

    def state(self) -> State:
        tensors = tensors_of(self._nets, self._optimisers)
        scalars = {"step": self.step, "curve": self.curve, "sums": self._sums, "counted": self._counted, **self.identity}
        return {key: value.detach().clone() for key, value in tensors.items()}, scalars

    def resume(self, state: State | None, folder: Path) -> None:
        """
        Raises:
            InputError: the state of another run.
        """
        if state is None:
            return
        tensors, scalars = state
        check_same_run(self.identity, scalars, folder)
        take_up(tensors, self._nets, self._optimisers)
        self.step, self.curve = scalars["step"], scalars["curve"]
        self._sums, self._counted = scalars["sums"], scalars["counted"]
