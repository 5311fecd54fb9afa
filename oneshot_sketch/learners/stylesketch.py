"""Sixteen pairs, or one → a sketch generator: StyleSketch's two-stage training, written out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm import tqdm

from oneshot_sketch.errors import InputError
from oneshot_sketch.face_regions import FaceRegions, RegionFinder, masked
from oneshot_sketch.images import grey, square, to_tensor
from oneshot_sketch.learners.checkpoint import Checkpoints, LatestState
from oneshot_sketch.learners.draws import generator as random_numbers
from oneshot_sketch.learners.draws import in_passes
from oneshot_sketch.learners.shared_augmentation import AdaptiveProbability, random_transforms, transformed
from oneshot_sketch.learners.stylesketch_artefact import LearnedStyleSketch, StyleSketchRecord
from oneshot_sketch.learners.stylesketch_config import StyleSketchLearnerConfig
from oneshot_sketch.learners.stylesketch_state import StyleSketchRun
from oneshot_sketch.losses import (
    clip_directional_loss,
    clip_similarity_loss,
    discriminator_loss,
    generator_loss,
    part_crops,
    perceptual_loss,
    r1_penalty,
)
from oneshot_sketch.models.clip import ClipTowers, load_clip
from oneshot_sketch.models.discriminators import PatchDiscriminator
from oneshot_sketch.models.inversion import Invert, invert
from oneshot_sketch.models.perceptual_features import PerceptualFeatures
from oneshot_sketch.models.stylegan2 import StyleGAN2Generator
from oneshot_sketch.models.stylesketch import StyleSketchGenerator, stylegan_fingerprint
from oneshot_sketch.pair import PhotoSketchPair

PERCEPTUAL_LAYERS = {
    "vgg16": ("relu1_2", "relu2_2", "relu3_3", "relu4_3"),
    "squeezenet": ("relu1", "fire3", "fire5", "fire7"),
}


@dataclass(frozen=True)
class StyleSketchState:
    """What a callback sees after a step: the terms of the sketch generator's loss, unweighted, and r1 and d where there are."""

    step: int
    stage: int
    losses: dict[str, float]
    generator: StyleSketchGenerator


@dataclass(frozen=True)
class Material:
    """The pairs, made ready once and kept on the CPU.

    Attributes:
        features, image: what the StyleGAN makes of the latents: maps (N, C, h, w), picture (N, 3, H, W) about [-1, 1].
        photo, sketch: (N, 1, H, W) in [0, 1], the grey picture and the artist's sketch.
        regions: of the picture.
        clip_photo, clip_sketch: (N, p), if CLIP is asked.
    """

    features: list[Tensor]
    image: Tensor
    photo: Tensor
    sketch: Tensor
    regions: FaceRegions
    clip_photo: Tensor | None
    clip_sketch: Tensor | None

    def batch(self, rows: Tensor, device: torch.device) -> Material:
        def taken(of: Tensor) -> Tensor:
            return of[rows].to(device)

        return Material(
            features=[taken(map) for map in self.features],
            image=taken(self.image),
            photo=taken(self.photo),
            sketch=taken(self.sketch),
            regions=FaceRegions(taken(self.regions.hair), taken(self.regions.centres)),
            clip_photo=None if self.clip_photo is None else taken(self.clip_photo),
            clip_sketch=None if self.clip_sketch is None else taken(self.clip_sketch),
        )

    def views(self, sketch: Tensor) -> Iterator[tuple[str, Tensor, Tensor]]:
        """What each discriminator sees of sketch and photo (B, 1, H, W): all of it, hair and background, the face."""
        hair, face = self.regions.hair, self.regions.face
        yield "full", sketch, self.photo
        yield "hair", masked(sketch, hair), masked(self.photo, hair)
        yield "face", masked(sketch, face), masked(self.photo, face)


class StyleSketchLearner:
    """Trains a `StyleSketchGenerator` on the features of a frozen StyleGAN2.

    Args:
        stylegan: is frozen in place; its device is where training happens. Its noise is constant.
        config: see `StyleSketchLearnerConfig`.
        perceptual, clip: if already loaded, instead of those the config names.
        regions: finds hair, face and parts in the StyleGAN's pictures.
        invert: finds photos' latents where none are given.
    """

    def __init__(
        self,
        stylegan: StyleGAN2Generator,
        config: StyleSketchLearnerConfig | None = None,
        *,
        perceptual: PerceptualFeatures | None = None,
        clip: ClipTowers | None = None,
        regions: RegionFinder | None = None,
        invert: Invert = invert,
    ) -> None:
        self.stylegan = stylegan.eval().requires_grad_(False)
        self.config = config = config or StyleSketchLearnerConfig()
        self.regions, self.invert = regions or RegionFinder(), invert
        self.device = stylegan.w_avg.device
        self.clip = self.perceptual = None
        if config.clip_weight:
            self.clip = clip or load_clip(config.clip).to(self.device)
        if config.perceptual_weight or config.part_weight:
            self.perceptual = perceptual or PerceptualFeatures.from_pretrained(
                config.perceptual,
                PERCEPTUAL_LAYERS[config.perceptual],
                config.perceptual_weights,
                config.perceptual_caffe,
                config.perceptual_side,
            )
            self.perceptual.to(self.device)

    def learn(
        self,
        pairs: PhotoSketchPair | Sequence[PhotoSketchPair],
        latents: Tensor | None = None,
        *,
        checkpoint: str | Path | Checkpoints | None = None,
        callback: Callable[[StyleSketchState], None] | None = None,
        progress: bool = True,
    ) -> LearnedStyleSketch:
        """
        Args:
            pairs: of one hand, photos in the StyleGAN's crop.
            latents: (N, num_ws, w_dim), the photos' W+ codes, if they are known; the photos are then not looked at.
            checkpoint: folder for the state of the run, or `NumberedStates`; if it holds one, the run goes on from there, on one
                device to the same bytes as an unbroken one.
            callback: called after every step.

        Raises:
            InputError: no pair, latents that do not fit, or a checkpoint of another run.
        """
        config = self.config
        pairs = [pairs] if isinstance(pairs, PhotoSketchPair) else list(pairs)
        latents, errors = self._latents(pairs, latents)
        material = self._material(pairs, latents)
        run = self._start(pairs, latents, material)
        if isinstance(checkpoint, str | Path):
            checkpoint = LatestState(Path(checkpoint), config.judge_every)
        if checkpoint is not None:
            run.resume(checkpoint.load(), checkpoint.folder)
        if run.step == 0:
            run.curve.append({"step": 0, "l1": self._judge(run, material)})

        bar = tqdm(total=config.steps, initial=run.step, desc="StyleSketch", unit="step", disable=not progress)
        with bar:
            while run.step < config.steps:
                rows = self._rows(run.step, len(pairs))
                batch = material.batch(rows, self.device)
                stage = 1 if run.step < config.stage_one * config.steps else 2
                moves = self._moves(run, len(rows))
                with torch.autocast(self.device.type, torch.bfloat16, enabled=config.precision == "bfloat16"):
                    drawn = run.generator(batch.features, batch.image)
                    terms = self._generator_terms(run, batch, drawn.float(), moves)
                weights = self._weights(stage)
                loss = torch.stack([weights[name] * term for name, term in terms.items()]).sum()
                _descend(run.optimisers["generator"], loss)
                if config.adversarial_weight:
                    terms |= self._update_discriminators(run, batch, drawn.detach().float(), moves)
                run.step += 1

                losses = {name: float(term.detach()) for name, term in terms.items()}
                bar.update()
                bar.set_postfix(stage=stage, l1=f"{losses['l1']:.4f}")
                last = run.step == config.steps
                if last or run.step % config.judge_every == 0:
                    run.curve.append({"step": run.step, "l1": self._judge(run, material)})
                if callback is not None:
                    callback(StyleSketchState(run.step, stage, losses, run.generator))
                # after the callback, so that a run killed between them calls it again rather than never
                if checkpoint is not None and (last or checkpoint.due(run.step)):
                    checkpoint.save(run.state())
        return LearnedStyleSketch(run.generator.eval(), self._record(run, pairs, errors))

    # ── before ──

    def _latents(self, pairs: list[PhotoSketchPair], latents: Tensor | None) -> tuple[Tensor, tuple[float, ...]]:
        if not pairs:
            raise InputError("there is no pair to learn from; give at least one photo and its sketch.")
        shape = (len(pairs), self.stylegan.num_ws, self.stylegan.config["w_dim"])
        errors: tuple[float, ...] = ()
        if latents is None:
            photos = to_tensor([square(pair.photo, self.stylegan.config["resolution"]) for pair in pairs])
            inversion = self.invert(self.stylegan, photos.to(self.device))
            latents, errors = inversion.ws, tuple(inversion.error.tolist())
        if latents.shape != shape or not latents.isfinite().all():
            raise InputError(f"latents are {tuple(latents.shape)}; these pairs and this StyleGAN need finite {shape}.")
        return latents.detach().to(self.device, torch.float32), errors

    @torch.no_grad()
    def _material(self, pairs: list[PhotoSketchPair], latents: Tensor) -> Material:
        side = self.stylegan.config["resolution"]
        made = []
        for ws in latents:  # one at a time: sixteen times 1024-pixel maps do not fit many devices
            output = self.stylegan.synthesize(ws[None].to(self.stylegan.dtype), noise_mode="const")
            made.append([map.float().cpu() for map in (*output.features, output.image)])
        *features, image = (torch.cat(maps) for maps in zip(*made, strict=True))
        sketch = grey(to_tensor([square(pair.sketch, side) for pair in pairs])) / 2 + 0.5
        photo = grey(image.clamp(-1, 1)) / 2 + 0.5
        seen = []
        if self.clip is not None:
            seen = [_asked(self.clip, pictures.to(self.device)).cpu() for pictures in (photo, sketch)]
        return Material(features, image, photo, sketch, self.regions(image.clamp(-1, 1)), *(seen or (None, None)))

    def _start(self, pairs: list[PhotoSketchPair], latents: Tensor, material: Material) -> StyleSketchRun:
        config = self.config
        halvings = min(6, max(2, self.stylegan.config["resolution"].bit_length() - 3))  # patches no fewer than 4×4
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            generator = StyleSketchGenerator.for_stylegan(self.stylegan, config.width, config.norm)
            names = ("full", "hair", "face") if config.adversarial_weight else ()
            judges = nn.ModuleDict(
                {name: PatchDiscriminator(halvings, config.discriminator_width, config.norm) for name in names}
            )
        digest = hashlib.sha256(material.sketch.numpy().tobytes() + latents.cpu().numpy().tobytes())
        identity = {
            "config": asdict(config),
            "stylegan": stylegan_fingerprint(self.stylegan),
            "perceptual": self.perceptual and self.perceptual.name,
            "pairs": [pair.name for pair in pairs],
            "pictures": digest.hexdigest()[:16],
        }
        augmentation = AdaptiveProbability(config.augment_target, config.augment_limit, config.augment_ramp)
        rates = config.learning_rate, config.discriminator_learning_rate
        networks: list[nn.Module] = [generator, judges]
        for network in networks:
            network.train().to(self.device)
        return StyleSketchRun(generator, judges, rates, augmentation, identity)

    # ── a step ──

    def _rows(self, step: int, count: int) -> Tensor:
        """Which pairs: every one once before any twice, in an order of its own each time."""
        batch = min(self.config.batch, count)
        return torch.tensor(in_passes(self.config.seed, range(step * batch, (step + 1) * batch), count))

    def _moves(self, run: StyleSketchRun, count: int) -> Tensor:
        """(count, 2, 3): one transform a sample, for its photo, the prediction and the artist's sketch alike."""
        return random_transforms(count, run.augmentation.value, random_numbers(self.config.seed, 1 + run.step)).to(self.device)

    def _weights(self, stage: int) -> dict[str, float]:
        config = self.config
        return {
            "adversarial": config.adversarial_weight,
            "clip": config.clip_weight,
            "perceptual": config.perceptual_weight,
            "parts": config.part_weight,
            "l1": config.l1_weight if stage == 1 else 0.0,
        }

    def _generator_terms(self, run: StyleSketchRun, batch: Material, drawn: Tensor, moves: Tensor) -> dict[str, Tensor]:
        """The terms of the sketch generator's loss by name, those whose weight is 0 left out; L1 is always told."""
        config = self.config
        terms = {"l1": (drawn - batch.sketch).abs().mean()}
        if config.adversarial_weight:
            run.discriminators.requires_grad_(False)
            verdicts = []
            for name, sketch, photo in batch.views(drawn):
                # each view is judged by its own discriminator; the script asks the whole picture's about all three
                verdicts.append(generator_loss(run.discriminators[name](transformed(sketch, moves), transformed(photo, moves))))
            terms["adversarial"] = torch.stack(verdicts).sum()
            run.discriminators.requires_grad_(True)
        if self.clip is not None:
            assert batch.clip_sketch is not None and batch.clip_photo is not None
            seen = _asked(self.clip, drawn)
            if config.clip_loss == "directional":
                terms["clip"] = clip_directional_loss(seen, batch.clip_sketch, batch.clip_photo)
            else:
                terms["clip"] = clip_similarity_loss(seen, batch.clip_sketch)
        if config.perceptual_weight:
            terms["perceptual"] = self._perceptual(drawn, batch.sketch)
        if config.part_weight:
            side = max(1, round(config.part_side * drawn.shape[-1]))
            crops = (part_crops(pictures, batch.regions.centres, side) for pictures in (drawn, batch.sketch))
            terms["parts"] = self._perceptual(*crops)
        return terms

    def _perceptual(self, drawn: Tensor, true: Tensor) -> Tensor:
        """Of sketches in [0, 1]."""
        assert self.perceptual is not None
        with torch.no_grad():
            wanted = self.perceptual(true)
        # without the gain, weights of the loss made for torchvision's networks would not suit Caffe's
        maps = ([map / self.perceptual.gain for map in found] for found in (self.perceptual(drawn), wanted))
        return perceptual_loss(*maps)

    def _update_discriminators(self, run: StyleSketchRun, batch: Material, drawn: Tensor, moves: Tensor) -> dict[str, Tensor]:
        config, told = self.config, {}
        losses = []
        with torch.autocast(self.device.type, torch.bfloat16, enabled=config.precision == "bfloat16"):
            for (name, true, photo), (_, fake, _) in zip(batch.views(batch.sketch), batch.views(drawn), strict=True):
                judge, photo = run.discriminators[name], transformed(photo, moves)
                real, false = judge(transformed(true, moves), photo), judge(transformed(fake, moves), photo)
                losses.append(discriminator_loss(real, false))
                if name == "full":
                    run.augmentation.observe(real)
        told["discriminators"] = torch.stack(losses).sum()
        if run.step % config.r1_every == 0 and config.r1_gamma:
            penalties = []
            for name, true, photo in batch.views(batch.sketch):
                true = true.detach().requires_grad_()
                penalties.append(r1_penalty(run.discriminators[name](true, photo), true, config.r1_gamma * config.r1_every))
            told["r1"] = torch.stack(penalties).sum()
        _descend(run.optimisers["discriminators"], torch.stack(list(told.values())).sum())
        return told

    # ── after ──

    @torch.no_grad()
    def _judge(self, run: StyleSketchRun, material: Material) -> float:
        """Mean absolute difference over all pairs, as the generator draws when it is used."""
        run.generator.eval()
        differences = []
        for row in range(len(material.sketch)):
            one = material.batch(torch.tensor([row]), self.device)
            differences.append(float((run.generator(one.features, one.image) - one.sketch).abs().mean()))
        run.generator.train()
        return sum(differences) / len(differences)

    def _record(self, run: StyleSketchRun, pairs: list[PhotoSketchPair], errors: tuple[float, ...]) -> StyleSketchRecord:
        return StyleSketchRecord(
            stylegan=run.identity["stylegan"],
            config=asdict(self.config),
            pairs=tuple(pair.name for pair in pairs),
            steps=run.step,
            curve={key: tuple(row[key] for row in run.curve) for key in run.curve[0]},
            augmentation=run.augmentation.value,
            perceptual=run.identity["perceptual"],
            clip=self.config.clip if self.clip is not None else None,
            inversion_errors=errors,
            style=_common(pair.style for pair in pairs),
            licence=_common(pair.licence for pair in pairs),
            versions={name: version(name) for name in ("torch", "diffusers")},
        )


def _asked(clip: ClipTowers, grey_pictures: Tensor) -> Tensor:
    """CLIP's features (B, p) of (B, 1, H, W) in [0, 1]."""
    return clip.encode_image(grey_pictures.expand(-1, 3, -1, -1) * 2 - 1).float()


def _descend(optimiser: torch.optim.Optimizer, loss: Tensor) -> None:
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()


def _common(values: Iterator[str | None]) -> str | None:
    found = set(values)
    return found.pop() if len(found) == 1 else None
