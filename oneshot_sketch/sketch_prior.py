"""The sketch prior: photo → inversion → StyleGAN features → sketch, with how far it is to be trusted."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from oneshot_sketch.atomic import replacing, replacing_folder
from oneshot_sketch.errors import InputError, loading
from oneshot_sketch.face_crop import FaceCrop
from oneshot_sketch.face_finder import EmbeddedFaceFinder, FaceFinder, the_face
from oneshot_sketch.images import to_rgb
from oneshot_sketch.inversion_cache import InversionCache, weights_digest
from oneshot_sketch.models.inversion import InversionConfig, Perceptual, filled, invert, reconstruction_error
from oneshot_sketch.models.inversion_encoder import InversionEncoder
from oneshot_sketch.models.stylegan2 import StyleGAN2Generator
from oneshot_sketch.models.stylesketch import StyleSketchGenerator, stylegan_fingerprint

MINI = Path(__file__).parent / "mini_prior"
FORMAT = 1
KINDS: dict[str, Any] = {"generator": StyleGAN2Generator, "sketch_generator": StyleSketchGenerator, "encoder": InversionEncoder}
RAMP = 1 / 16  # of the crop's side, along which trust rises from its border inwards


@dataclass(frozen=True, kw_only=True)
class SketchPriorConfig:
    """
    Attributes:
        inversion: how photos are inverted.
        trust_error: the local reconstruction error at which trust has fallen to a half; see `trust_of`.

    Raises:
        InputError: a value out of range.
    """

    inversion: InversionConfig = field(default_factory=InversionConfig)
    trust_error: float = 0.1

    def __post_init__(self) -> None:
        if not 0 < self.trust_error <= 1:
            raise InputError(f"trust_error is {self.trust_error}; it must be above 0 and at most 1.")


@dataclass(frozen=True)
class PriorSketch:
    """What a prior makes of photos.

    Attributes:
        sketch: (B, 1, H, W) float32 in [-1, 1], in the photos' own frame; paper where the face's crop does not reach.
        trust: (B, 1, H, W) float32 in [0, 1]; small where the photo was not redrawn well, 0 outside of the crop.
        reconstruction: (B, 3, h, w) float32 in [-1, 1], the crops as the StyleGAN redraws them.
        error: (B,) float32 in [0, 1], the `error` of an `Inversion`: how far the reconstructions are from the photos.
    """

    sketch: Tensor
    trust: Tensor
    reconstruction: Tensor
    error: Tensor


class SketchPrior:
    """Draws the face in a photo from the features of a StyleGAN2 that redraws it.

    The sketch is of the redrawn face, so it is as good as the inversion; `error` and `trust` say how good that is. All
    networks are frozen in place, and no draw is random.

    Args:
        generator: the StyleGAN2.
        sketch_generator: from its feature maps and picture to a sketch.
        face_finder: any `FaceFinder`.
        encoder: where inversions start; None starts at the generator's mean face.
        perceptual: what compares pictures while inverting, by default the weight-free term of `models.inversion`.
        cache_dir: folder in which inversions are kept and looked up; None keeps none. A `perceptual` that is no
            `nn.Module` has no content to know it by, so inversions are not kept then either.

    Raises:
        InputError: networks that were not made for one another, or a `cache_dir` that cannot be one.
    """

    def __init__(
        self,
        generator: StyleGAN2Generator,
        sketch_generator: StyleSketchGenerator,
        face_finder: FaceFinder,
        encoder: InversionEncoder | None = None,
        config: SketchPriorConfig | None = None,
        *,
        perceptual: Perceptual | None = None,
        cache_dir: str | Path | None = None,
    ) -> None:
        _check_kinship(generator, sketch_generator, encoder)
        self.generator, self.sketch_generator, self.encoder = generator, sketch_generator, encoder
        self.face_finder, self.perceptual = face_finder, perceptual
        self.config = config or SketchPriorConfig()
        for network in self._networks.values():
            network.eval().requires_grad_(False)
        self._cache = None
        if cache_dir is not None and (perceptual is None or isinstance(perceptual, nn.Module)):
            self._cache = InversionCache(cache_dir)

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path = "mini",
        *,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        face_finder: FaceFinder | None = None,
        perceptual: Perceptual | None = None,
        cache_dir: str | Path | None = None,
        **settings: Any,
    ) -> SketchPrior:
        """Load "mini", the prior that ships with the package, or a folder that `save_pretrained` wrote.

        Args:
            device, dtype: of the networks that invert and draw.
            face_finder: instead of the folder's own.
            perceptual, cache_dir: as of the class.
            **settings: fields of `InversionConfig` and `trust_error`, instead of the folder's.

        Raises:
            InputError: no such folder, or one that is damaged, incomplete or of mixed parts; an unknown setting.
        """
        folder = MINI if str(name) == "mini" else Path(name)
        if not (folder / "config.json").is_file():
            if str(name) == "mini":
                raise InputError("this installation holds no embedded sketch prior; give the folder of one, or install it again.")
            raise InputError(f'{folder} is no folder with a sketch prior; give "mini" or a folder that save_pretrained wrote.')
        with loading(folder, "a sketch prior", "save or copy it again"):
            record = json.loads((folder / "config.json").read_text())
            if record["format"] != FORMAT:
                raise InputError(f"{folder} has format {record['format']}, this version reads {FORMAT}; update oneshot_sketch.")
            config = SketchPriorConfig(inversion=InversionConfig(**record["inversion"]), trust_error=record["trust_error"])
            networks: dict[str, Any] = {
                part: KINDS[part].from_pretrained(folder / part, dtype=dtype, local_files_only=True, use_safetensors=True)
                for part in record["digests"]
            }
            for part, network in networks.items():
                if dtype == torch.float32 and weights_digest(network) != record["digests"][part]:
                    raise InputError(f"{folder} holds another {part} than was saved with it; save or copy it again.")
            if face_finder is None:
                if not (folder / "face_finder").is_dir():
                    raise InputError(f"{folder} was saved without a face finder; give one as face_finder.")
                face_finder = EmbeddedFaceFinder.from_pretrained(folder / "face_finder")
        config = _with(config, settings)
        return cls(**networks, face_finder=face_finder, config=config, perceptual=perceptual, cache_dir=cache_dir).to(device)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write `generator/`, `sketch_generator/`, `encoder/` and `face_finder/` in diffusers' layout, and `config.json` last.

        Weights keep the precision they have. `perceptual` and face finders that are not the embedded kind are not saved.

        Raises:
            InputError: the folder cannot be written.
        """
        folder = Path(folder)
        finder = getattr(self.face_finder, "network", None)
        saved: dict[str, Any] = self._networks | ({"face_finder": finder} if isinstance(finder, nn.Module) else {})
        for name, network in saved.items():
            with replacing_folder(folder / name) as part:
                network.save_pretrained(part)
        record = {
            "format": FORMAT,
            "oneshot_sketch": version("oneshot-sketch"),
            "digests": {name: weights_digest(network) for name, network in self._networks.items()},
            **asdict(self.config),
        }
        with replacing(folder / "config.json") as part:
            part.write_text(json.dumps(record, indent=2) + "\n")

    def to(self, device: str | torch.device | None = None, dtype: torch.dtype | None = None) -> SketchPrior:
        """Move the networks that invert and draw; the face finder stays where it is."""
        for network in self._networks.values():
            network.to(device=device, dtype=dtype)
        if isinstance(self.perceptual, nn.Module):
            self.perceptual.to(device=device)
        for known in ("fingerprint", "_inverting"):
            self.__dict__.pop(known, None)
        return self

    @torch.no_grad()
    def sketch(
        self,
        photos: Image.Image | Sequence[Image.Image],
        size: tuple[int, int] | None = None,
        *,
        progress: bool = False,
    ) -> PriorSketch:
        """Draw the face in each photo.

        Args:
            photos: of any size and mode, each with one face seen from the front.
            size: width and height of what is given; by default the photos' own, which must then be one.
            progress: show a bar while inverting.

        Raises:
            InputError: no photo, photos of several sizes without `size`, or a photo with no face, more than one, one seen
                from the side, or a drawn one.
        """
        upright = [to_rgb(photo) for photo in ([photos] if isinstance(photos, Image.Image) else photos)]
        if not upright:
            raise InputError("there is no photo to sketch; give at least one.")
        if size is None and len({photo.size for photo in upright}) > 1:
            raise InputError("the photos have several sizes; give the size of the sketches, or one photo at a time.")
        names = [f"photo {i} of {len(upright)}" for i in range(1, len(upright) + 1)] if len(upright) > 1 else ["the photo"]
        faces = [the_face(self.face_finder.find(photo), name) for photo, name in zip(upright, names, strict=True)]
        crops = [FaceCrop.around(face.points, photo.size) for face, photo in zip(faces, upright, strict=True)]
        resolution = self.generator.config["resolution"]
        squares = torch.cat([crop.cut(photo, resolution) for crop, photo in zip(crops, upright, strict=True)])

        batch = self.config.inversion.batch_size
        drawn = [self._draw(part, progress) for part in squares.split(batch)]
        sketch, trust, reconstruction, error = (torch.cat(parts) for parts in zip(*drawn, strict=True))
        frame = size or upright[0].size

        def laid_back(planes: Tensor, fill: float) -> Tensor:
            return torch.cat([crop.lay_back(plane, frame, fill) for crop, plane in zip(crops, planes.split(1), strict=True)])

        return PriorSketch(laid_back(sketch, 1.0), laid_back(trust, 0.0), reconstruction, error)

    @cached_property
    def fingerprint(self) -> str:
        """Sixteen hex digits of all that decides what is drawn from a photo, but for precision and machine."""
        finder = getattr(self.face_finder, "network", self.face_finder)
        parts = [self._inverting, weights_digest(self.sketch_generator), _identity(finder), asdict(self.config)]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]

    def trust_of(self, error_map: Tensor) -> Tensor:
        """How far a sketch of aligned squares is to be trusted, pixel by pixel.

            trust = ramp · ε² / (ε² + error²),   ε = `config.trust_error`

        Where the photo is redrawn with a local error e, the sketch is taken to be off with variance ε² + e²; trust is its
        precision, 1 where e = 0. `ramp` rises from 0 at the square's border to 1 within a sixteenth of its side, so that
        guidance by the sketch shows no seam.

        Args:
            error_map: (B, 1, s, s), as of an `Inversion`.

        Returns:
            (B, 1, s, s) in [0, 1], smaller where the error is larger.
        """
        inwards = (torch.arange(error_map.shape[-1]).to(error_map) + 0.5) / error_map.shape[-1]
        inwards = torch.minimum(inwards, 1 - inwards)
        ramp = (torch.minimum(inwards[:, None], inwards[None]) / RAMP).clamp(0, 1)
        floor = self.config.trust_error**2
        return ramp * floor / (floor + error_map.square())

    def _draw(self, squares: Tensor, progress: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Aligned squares, a batch at most → sketch, trust, reconstruction and error, float32 on the CPU."""
        count, batch = len(squares), self.config.inversion.batch_size
        ws = filled(self._invert(squares, progress), batch).to(self.generator.device, self.generator.dtype)
        redrawn = self.generator.synthesize(ws)
        sketch = self.sketch_generator(redrawn.features, redrawn.image).float().cpu() * 2 - 1
        image = redrawn.image.float().cpu().clamp(-1, 1)
        error, error_map = reconstruction_error(image, filled(squares, batch))
        return sketch[:count], self.trust_of(error_map)[:count], image[:count], error[:count]

    def _invert(self, squares: Tensor, progress: bool) -> Tensor:
        """Aligned squares (B, 3, s, s) → ws (B, num_ws, w_dim) float32 on the CPU, as found or as kept."""
        config, generator = self.config.inversion, self.generator
        found: dict[int, Tensor] = {}
        keys: list[str] = []
        if self._cache is not None:
            about = f"{self._inverting} {generator.dtype} {generator.device.type}"
            keys = [self._cache.key(square, about, config) for square in squares]
            shape = (generator.num_ws, generator.config["w_dim"])
            found = {i: ws for i, key in enumerate(keys) if (ws := self._cache.get(key, shape)) is not None}
        missing = [i for i in range(len(squares)) if i not in found]
        if missing:
            inversion = invert(
                generator, squares[missing], self.encoder, config=config, perceptual=self.perceptual, progress=progress
            )
            for i, ws in zip(missing, inversion.ws.cpu(), strict=True):
                found[i] = ws
                if self._cache is not None:
                    self._cache.put(keys[i], ws)
        return torch.stack([found[i] for i in range(len(squares))])

    @cached_property
    def _inverting(self) -> str:
        """Of the networks that invert."""
        return " ".join(_identity(part) for part in (self.generator, self.encoder, self.perceptual))

    @property
    def _networks(self) -> dict[str, Any]:
        networks = {"generator": self.generator, "sketch_generator": self.sketch_generator}
        return networks | ({} if self.encoder is None else {"encoder": self.encoder})


def _identity(part: Any) -> str:
    """Of a network's content; of other things what they say of themselves, or their name."""
    if isinstance(part, nn.Module):
        return weights_digest(part)
    return getattr(part, "fingerprint", None) or getattr(part, "__qualname__", type(part).__qualname__)


def _check_kinship(
    generator: StyleGAN2Generator, sketch_generator: StyleSketchGenerator, encoder: InversionEncoder | None
) -> None:
    shapes = ("resolution", "channel_base", "channel_max")
    known_by = sketch_generator.config["stylegan"]
    if any(generator.config[name] != sketch_generator.config[name] for name in shapes) or (
        known_by is not None and known_by != stylegan_fingerprint(generator)
    ):
        raise InputError("the sketch generator was not learned on this StyleGAN2; load the two that belong together.")
    if encoder is not None and encoder.latent_avg.shape != (generator.num_ws, generator.config["w_dim"]):
        raise InputError(
            f"the encoder gives {tuple(encoder.latent_avg.shape)} numbers, the StyleGAN2 reads "
            f"{(generator.num_ws, generator.config['w_dim'])}; load the two that belong together."
        )


def _with(config: SketchPriorConfig, settings: dict[str, Any]) -> SketchPriorConfig:
    """With some fields of the inversion or its own set anew."""
    own = {name: settings.pop(name) for name in ("trust_error",) if name in settings}
    if unknown := sorted(settings.keys() - {field.name for field in fields(InversionConfig)}):
        raise InputError(f"a sketch prior has no setting {unknown[0]}; choose fields of InversionConfig, or trust_error.")
    return replace(config, inversion=replace(config.inversion, **settings), **own)
