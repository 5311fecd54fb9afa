"""Any InstructPix2Pix checkpoint, frozen: encode, noise, predict."""

from __future__ import annotations

import hashlib
import json
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import torch
from accelerate.utils import align_module_device
from diffusers.models.attention_processor import AttnProcessor
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion_instruct_pix2pix import (
    StableDiffusionInstructPix2PixPipeline,
)
from torch import Tensor

# diffusers loads a component only from a module that is already imported, and `mini` names this one.
import oneshot_sketch.models.patch_autoencoder  # noqa: F401 # pyright: ignore[reportUnusedImport]
from oneshot_sketch.attributes import ATTRIBUTES
from oneshot_sketch.errors import InputError, loading

MINI = Path(__file__).parent / "mini"
KIND = "an InstructPix2Pix backbone"
DEFAULT_CLIP = "openai/clip-vit-large-patch14"
# Fingerprint of an edition of `mini` → of the editions it was trained on from, whose instructions it still follows.
PREDECESSORS = {"7f3db669633001a0": ("1f6fc0a2e42fa25d", "7c5147932e725a7b", "5adca49cb133e968")}


def locate(name: str | Path) -> str:
    """ "mini" → the folder of the embedded backbone; anything else unchanged."""
    return str(MINI) if str(name) == "mini" else str(name)


def drawing_defaults(name: str | Path) -> dict[str, float]:
    """Steps and guidance scales that suit a backbone: its folder's drawing.json, or the paper's (20, 7.5, 1.5).

    There may be a `resolution` too: the side in pixels to draw at, where it is another than learning's.
    """
    own = Path(locate(name)) / "drawing.json"
    try:
        found = json.loads(own.read_text()) if name and own.is_file() else {}
        usable = all(type(value) in (int, float) and abs(value) < 1e9 for value in found.values())
    except (OSError, ValueError, AttributeError, RecursionError):
        found, usable = {}, False
    if not usable:
        raise InputError(f"{own} is not an object of numbers; delete it or load the backbone again.")
    return {"num_inference_steps": 20, "guidance_scale": 7.5, "image_guidance_scale": 1.5} | found


def check_components(pipe: Any, name: str) -> None:
    """Refuse what is no InstructPix2Pix: its UNet reads noisy latents and the photo's, and predicts ε or v."""
    latent, seen = pipe.vae.config.latent_channels, pipe.unet.config.in_channels
    if seen != 2 * latent:
        raise InputError(
            f"{name} is not an InstructPix2Pix backbone: its UNet reads {seen} channels where photo and noise need {2 * latent}; "
            "choose another checkpoint."
        )
    kind = pipe.scheduler.config.prediction_type
    if kind not in ("epsilon", "v_prediction"):
        raise InputError(f"{name} predicts {kind!r}; only epsilon and v_prediction backbones are supported.")


def fingerprint(unet: torch.nn.Module, text_encoder: torch.nn.Module) -> str:
    """Sixteen hex digits of SHA-256 over weight signs, which no change of precision, no adapter and no offloading alters."""
    digest = hashlib.sha256()
    for module in (unet, text_encoder):
        places = {
            name.replace(".base_layer", ""): name
            for name, _ in module.named_parameters()
            if not any(part in name for part in ("lora_", ".processor.", "encoder_hid_proj."))
        }
        names = sorted(places)
        for name in (names[0], names[len(names) // 2], names[-1]):
            owner, _, leaf = places[name].rpartition(".")
            with align_module_device(module.get_submodule(owner)):
                weight = module.get_submodule(owner).get_parameter(leaf).detach().cpu()
            digest.update(f"{name}{tuple(weight.shape)}".encode())
            digest.update(torch.signbit(weight).numpy().tobytes())
    return digest.hexdigest()[:16]


class FrozenInstructPix2Pix:
    """The networks of an InstructPix2Pix checkpoint, without gradients of their own.

    Gradients reach the instruction through `predict`; no weight ever receives one.

    Args:
        pipe: a loaded `StableDiffusionInstructPix2PixPipeline` (or subclass); its modules are frozen in place. Where it, or
            accelerate, offloads weights, they stay offloaded (docs/speed.md).
        name: id for records.
        clip: what `load_clip` should load for the edit direction.
    """

    def __init__(self, pipe: StableDiffusionInstructPix2PixPipeline, name: str, clip: str = DEFAULT_CLIP) -> None:
        check_components(pipe, name)
        self.name, self.clip = name, clip
        self.device: torch.device = cast(Any, pipe)._execution_device  # where weights come when they are needed
        self.drawing = drawing_defaults(name)
        self.vae: Any = pipe.vae
        self.unet: Any = pipe.unet
        self.text_encoder: Any = pipe.text_encoder
        self.tokenizer: Any = pipe.tokenizer
        for module in (self.vae, self.unet, self.text_encoder):
            module.requires_grad_(False).eval()
        if self.device.type == "cpu":
            self.unet.set_attn_processor(AttnProcessor())  # SDPA's backward is slow there
        scheduler: Any = pipe.scheduler
        self.prediction_type: str = scheduler.config.prediction_type
        self.alphas_cumprod: Tensor = scheduler.alphas_cumprod.float().to(self.device)

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path = "mini",
        *,
        device: str | torch.device | None = None,
        dtype: torch.dtype | None = None,
        **kwargs: Any,
    ) -> FrozenInstructPix2Pix:
        """Load "mini", a folder or a Hub id.

        Args:
            device: default CUDA, then CPU.
            dtype: of the frozen weights; default bfloat16 on CUDA, float32 on CPU.
            **kwargs: `revision`, `variant`, `token`, `cache_dir`, `local_files_only` as in diffusers.

        Raises:
            InputError: not found, damaged, or not an InstructPix2Pix.
        """
        device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        dtype = dtype or (torch.bfloat16 if device.type == "cuda" else torch.float32)
        kwargs.setdefault("use_safetensors", True)  # and never a pickle in their place
        with loading(name, KIND):
            pipe = StableDiffusionInstructPix2PixPipeline.from_pretrained(
                locate(name), dtype=dtype, safety_checker=None, requires_safety_checker=False, **kwargs
            )
        return cls.from_pipeline(pipe.to(device), str(name))

    @classmethod
    def from_pipeline(cls, pipe: StableDiffusionInstructPix2PixPipeline, name: str) -> FrozenInstructPix2Pix:
        """Share the networks of a loaded pipeline; the CLIP is the one in the folder `name`, or ViT-L/14."""
        own_clip = Path(locate(name)) / "clip"
        return cls(pipe, name, str(own_clip) if own_clip.is_dir() else DEFAULT_CLIP)

    @property
    def dtype(self) -> torch.dtype:
        return self.unet.dtype

    @property
    def resolution(self) -> int:
        """Side in pixels of the square images the UNet was trained on."""
        return self.unet.config.sample_size * 2 ** (len(self.vae.config.block_out_channels) - 1)

    @property
    def drawing_resolution(self) -> int:
        """Side in pixels of the squares it draws best."""
        return int({"resolution": self.resolution, **self.drawing}["resolution"])

    @property
    def num_timesteps(self) -> int:
        return len(self.alphas_cumprod)

    @cached_property
    def fingerprint(self) -> str:
        return fingerprint(self.unet, self.text_encoder)

    @cached_property
    def knows_attributes(self) -> bool:
        """Whether the words of `attributes` are single tokens here, as they are where they were taught."""
        return all(len(self.tokenizer.tokenize(word)) == 1 for word in ATTRIBUTES)

    @property
    def draws_in_one_step(self) -> bool:
        """Whether the schedule ends in pure noise and v is predicted, so that a single step draws a whole picture."""
        return self.prediction_type == "v_prediction" and float(self.alphas_cumprod[-1]) < 1e-6

    @torch.no_grad()
    def encode_photo(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) float32 in [-1, 1] → z_p (B, C, H/8, W/8) float32, the posterior's mode, not scaled."""
        encoded = self.vae.encode(images.to(self.device, self.vae.dtype))
        if hasattr(encoded, "latent_dist"):
            posterior: DiagonalGaussianDistribution = encoded.latent_dist
            return posterior.mode().float()
        return encoded.latents.float()

    def encode_sketch(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) float32 in [-1, 1] → z_s, scaled by the autoencoder's `scaling_factor`."""
        return self.encode_photo(images) * self.vae.config.scaling_factor

    @torch.no_grad()
    def encode_text(self, texts: list[str]) -> Tensor:
        """Prompts → (B, L, d) float32, the text encoder's last hidden state after its final norm."""
        ids = self.tokenizer(
            texts, padding="max_length", max_length=self.tokenizer.model_max_length, truncation=True, return_tensors="pt"
        ).input_ids
        mask = None
        if getattr(self.text_encoder.config, "use_attention_mask", False):
            mask = torch.ones_like(ids, device=self.device)
        return self.text_encoder(ids.to(self.device), attention_mask=mask)[0].float()

    def content_length(self, text: str) -> int:
        """Number of tokens between BOS and EOS, after truncation."""
        ids = self.tokenizer(text, truncation=True, max_length=self.tokenizer.model_max_length).input_ids
        return len(ids) - 2

    def add_noise(self, z: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """z_t = √ᾱ_t z + √(1 − ᾱ_t) ε, from `alphas_cumprod` itself; t (B,) int64."""
        a = self.alphas_cumprod[t].view(-1, 1, 1, 1)
        return a.sqrt() * z + (1 - a).sqrt() * noise

    def target(self, z: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """What `predict` should return: ε, or v = √ᾱ_t ε − √(1 − ᾱ_t) z."""
        if self.prediction_type == "epsilon":
            return noise
        a = self.alphas_cumprod[t].view(-1, 1, 1, 1)
        return a.sqrt() * noise - (1 - a).sqrt() * z

    def predict(self, z_t: Tensor, t: Tensor, rows: Tensor, z_p: Tensor) -> Tensor:
        """The UNet's output (B, C, h, w) float32 for noisy latents, timesteps, (B, L, d) rows and photo latents."""
        x = torch.cat([z_t, z_p], dim=1).to(self.dtype)
        return self.unet(x, t, encoder_hidden_states=rows.to(self.dtype), return_dict=False)[0].float()

    def one_step(self, prediction: Tensor) -> Tensor:
        """The UNet's output at the last timestep → the pictures (B, 3, H, W) in [-1, 1] float32 that this one step draws.

        There z_t is noise alone, of which v = α_t ε − σ_t z is −z (`draws_in_one_step`).
        """
        z = -prediction.to(self.vae.dtype) / self.vae.config.scaling_factor
        return self.vae.decode(z, return_dict=False)[0].float().clamp(-1, 1)
