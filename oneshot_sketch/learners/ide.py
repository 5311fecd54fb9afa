"""Pairs → both stages of IDE: the patch field, and the generator that learns to mend its sketches."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F
from tqdm import tqdm

from oneshot_sketch.errors import InputError
from oneshot_sketch.learners.checkpoint import Checkpoints, LatestState
from oneshot_sketch.learners.ide_config import IDELearnerConfig
from oneshot_sketch.learners.ide_material import IDEMaterial, crops, fit_field, prepare
from oneshot_sketch.learners.networks_state import NetworksRun
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
        run = self._start(material)
        enhancer, discriminator = run.networks.values()
        assert isinstance(enhancer, MLANet)
        by_enhancer, by_discriminator = run.optimisers.values()
        if checkpoint is not None:
            run.resume(checkpoint.load(), checkpoint.folder)
        bar = tqdm(total=config.steps, initial=run.step, desc="learning", unit="step", disable=not progress)
        with bar:
            while run.step < config.steps:
                coarse, artist = (side.to(self.device) for side in crops(material, config, run.step))
                rate = config.learning_rate * 0.5 ** sum(run.step >= m for m in config.milestones)
                by_enhancer.param_groups[0]["lr"] = by_discriminator.param_groups[0]["lr"] = rate

                discriminator.requires_grad_(False)
                with self._autocast():
                    fine = enhancer(coarse)
                    maps = [self.features(x) for x in (fine, artist)] if self.features else []
                    verdict = discriminator(fine) if config.adversarial_weight else None
                terms = {"pixel": F.l1_loss(fine.float(), artist)}
                if maps:
                    terms["perceptual"] = perceptual_loss(*([map.float() for map in of] for of in maps))
                if verdict is not None:
                    terms["adversarial"] = generator_loss(verdict.float())
                by_enhancer.zero_grad()
                torch.stack([getattr(config, f"{name}_weight") * term for name, term in terms.items()]).sum().backward()
                by_enhancer.step()

                if config.adversarial_weight:
                    discriminator.requires_grad_(True)
                    with self._autocast():
                        verdicts = discriminator(artist), discriminator(fine.detach())
                    terms["discriminator"] = discriminator_loss(*(v.float() for v in verdicts))
                    by_discriminator.zero_grad()
                    terms["discriminator"].backward()
                    by_discriminator.step()

                losses = {name: float(term.detach()) for name, term in terms.items()}
                run.advance(losses)
                bar.update()
                bar.set_postfix({name: f"{value:.4f}" for name, value in losses.items()})
                last = run.step == config.steps
                if last:
                    run.note()
                if callback is not None:
                    callback(IDEStep(run.step, losses, field, enhancer))
                if checkpoint is not None and (last or checkpoint.due(run.step)):
                    checkpoint.save(run.state())
        return LearnedIDE(field, enhancer.eval(), config, self._heard(), tuple(run.curve))

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.precision == "bfloat16")

    def _start(self, material: IDEMaterial) -> NetworksRun:
        config = self.config
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            networks: dict[str, nn.Module] = {
                "enhancer": MLANet(3, config.channels, config.num_fams, config.reduction, config.head_kernel),
                "discriminator": DISCRIMINATORS[config.discriminator](config.crop, config.discriminator_channels),
            }
        for network in networks.values():
            network.to(device=self.device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        optimisers = {name: torch.optim.Adam(network.parameters(), config.learning_rate) for name, network in networks.items()}
        # what shapes a run's first steps, so not their number
        settings = {key: value for key, value in asdict(config).items() if key not in ("steps", "save_every", "field")}
        identity = {"config": settings, "features": self._heard(), "pictures": material.digest}
        return NetworksRun(networks, optimisers, identity, config.save_every)

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
