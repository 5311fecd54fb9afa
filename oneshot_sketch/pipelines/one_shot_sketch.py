"""Photos → sketches, in the hand of a learned instruction."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.pipelines.stable_diffusion.pipeline_output import StableDiffusionPipelineOutput
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion_instruct_pix2pix import (
    StableDiffusionInstructPix2PixPipeline,
)
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from diffusers.schedulers.scheduling_utils import KarrasDiffusionSchedulers
from PIL import Image
from torch import Tensor
from transformers import CLIPImageProcessor, CLIPTextModel, CLIPTokenizer, CLIPVisionModelWithProjection

from oneshot_sketch.backbone import KIND, check_components, drawing_defaults, locate
from oneshot_sketch.errors import InputError, loading
from oneshot_sketch.images import ImageLike, save_png
from oneshot_sketch.learned_instruction import LearnedInstruction
from oneshot_sketch.models.patch_autoencoder import PatchAutoencoder
from oneshot_sketch.pipelines.instructions import LoadedInstructions
from oneshot_sketch.pipelines.lean_unet import rows_read_once, weighed_branches
from oneshot_sketch.pipelines.one_device import OnOneDevice, on_one_device
from oneshot_sketch.pipelines.photos import fit_photos, open_photos
from oneshot_sketch.pipelines.sketch_prior import Drawn, FittedPrior, GuidedBySketchPrior, PriorGuidance

logger = logging.getLogger(__name__)


@dataclass
class OneShotSketchOutput(StableDiffusionPipelineOutput):
    """Sketches and how they were drawn.

    Attributes:
        images: `PIL.Image` list, or an array or tensor as `output_type` asked.
        nsfw_content_detected: as in diffusers.
        settings: the arguments that made them, JSON-ready; with a sketch prior, `inversion_error` of each photo.
        prior: the prior's sketches that guided them, their trust and error; None without.
    """

    settings: dict[str, Any] = field(default_factory=dict)
    prior: FittedPrior | None = None

    def save(self, path: str | Path, index: int = 0) -> None:
        """Write one of the images as PNG, with `settings` in its text chunk `oneshot_sketch`."""
        image = self.images[index]
        if not isinstance(image, Image.Image):
            raise InputError('only pictures can be saved as PNG; sketch with output_type="pil".')
        save_png(image, path, {"oneshot_sketch": json.dumps(self.settings)})


class _GivenEmbeds(list[Tensor]):
    """IP-adapter embeddings on their way through an argument that upstream tests for images only."""


class OneShotSketchPipeline(OnOneDevice, LoadedInstructions, GuidedBySketchPrior, StableDiffusionInstructPix2PixPipeline):
    """`StableDiffusionInstructPix2PixPipeline` that draws by learned instructions.

    Any InstructPix2Pix checkpoint loads unchanged; LoRA, textual inversion, IP-adapter, offloading, callbacks and
    schedulers work as they do upstream. With an instruction and no text, the stock pipeline given
    `prompt_embeds=instruction.embeddings[None]` draws the identical image.
    """

    def __init__(
        self,
        vae: AutoencoderKL | PatchAutoencoder,
        text_encoder: CLIPTextModel,
        tokenizer: CLIPTokenizer,
        unet: UNet2DConditionModel,
        scheduler: KarrasDiffusionSchedulers,
        safety_checker: StableDiffusionSafetyChecker | None = None,
        feature_extractor: CLIPImageProcessor | None = None,
        image_encoder: CLIPVisionModelWithProjection | None = None,
        requires_safety_checker: bool = False,
    ) -> None:
        super().__init__(
            vae,  # type: ignore[arg-type]
            text_encoder,
            tokenizer,
            unet,
            scheduler,
            safety_checker,  # type: ignore[arg-type]
            feature_extractor,  # type: ignore[arg-type]
            image_encoder,
            requires_safety_checker,
        )

    @classmethod
    def from_pretrained(  # pyright: ignore[reportIncompatibleMethodOverride]
        cls, pretrained_model_name_or_path: str | Path = "mini", **kwargs: Any
    ) -> OneShotSketchPipeline:
        """Load "mini", a folder or a Hub id, with diffusers' own keyword arguments.

        Raises:
            InputError: not found, damaged, or not an InstructPix2Pix.
        """
        kwargs.setdefault("use_safetensors", True)
        if "torch_dtype" not in kwargs:
            kwargs.setdefault("dtype", torch.float32)  # transformers would keep the file's own precision, diffusers not
        name = pretrained_model_name_or_path
        with loading(name, KIND):
            pipe = super().from_pretrained(locate(name), **kwargs)
        check_components(pipe, str(name))
        pipe._name = str(name)
        return pipe

    @property
    def native_resolution(self) -> int:
        """Side in pixels of the square with as many as a photo is drawn in: of the backbone's drawing.json, or its training."""
        trained = self.unet.config.sample_size * self.vae_scale_factor
        return int({"resolution": trained, **drawing_defaults(self._backbone)}["resolution"])

    @property
    def _backbone(self) -> str:
        return str(self.__dict__.get("_name") or self.config.get("_name_or_path") or "")

    @property
    def do_classifier_free_guidance(self) -> bool:
        """Upstream turns all guidance off when the text scale is 1; here an image scale above 1 still counts."""
        return self.guidance_scale != 1 or self.image_guidance_scale != 1

    @torch.no_grad()
    @on_one_device
    def __call__(  # type: ignore[override]
        self,
        prompt: str | list[str] | None = None,
        image: ImageLike | Sequence[ImageLike] | None = None,
        *,
        text: str | None = None,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        image_guidance_scale: float | None = None,
        instruction_scale: float = 1.0,
        companion_scale: float = 1.0,
        text_layout: Literal["compact", "visii"] = "compact",
        resolution: int | Literal["native", "photo"] = "native",
        sketch_prior_scale: float = 0.0,
        sketch_prior_start: float = 0.0,
        sketch_prior_stop: float = 1.0,
        sketch_prior_init: float = 0.0,
        prior_sketch: Drawn | None = None,
        negative_prompt: str | list[str] | None = None,
        num_images_per_prompt: int = 1,
        eta: float = 0.0,
        generator: torch.Generator | list[torch.Generator] | None = None,
        latents: Tensor | None = None,
        prompt_embeds: Tensor | None = None,
        negative_prompt_embeds: Tensor | None = None,
        ip_adapter_image: Any = None,
        ip_adapter_image_embeds: list[Tensor] | None = None,
        output_type: Literal["pil", "np", "pt", "latent"] = "pil",
        return_dict: bool = True,
        callback_on_step_end: Callable[..., Any] | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        cross_attention_kwargs: dict[str, Any] | None = None,
    ) -> OneShotSketchOutput:
        """Sketch photos.

        Args:
            prompt: a plain-text instruction, instead of the learned one.
            image: a photo or several of one shape; anything `images.to_rgb` reads, or a (B, 3, H, W) tensor in [0, 1]
                or [-1, 1].
            text: joined with the learned instruction (the paper's `<optional>`, Eq. 7).
            num_inference_steps, guidance_scale, image_guidance_scale: default the instruction's or backbone's own.
            instruction_scale: see `LearnedInstruction.strength`.
            companion_scale: of the instruction's companion, if it has one; 0 draws without it.
            text_layout: see `LearnedInstruction.with_text`.
            resolution: "native" fits each photo, shape kept, to as many pixels as a square of `native_resolution` has;
                "photo" leaves its size, to a multiple of 8; a number is the side of another such square.
            sketch_prior_scale, sketch_prior_start, sketch_prior_stop, sketch_prior_init: see `PriorGuidance`.
            prior_sketch: a prior's sketches of these photos, instead of asking the loaded prior.
            generator: one, or one for each image drawn.

            The others are diffusers'.

        Returns:
            `OneShotSketchOutput`; image k of photo i is at i · num_images_per_prompt + k. With `return_dict=False`, diffusers'
            tuple of images and their flags.

        Raises:
            InputError: no photo, no instruction, an argument out of range, or no face where the prior needs one.
        """
        seen = open_photos(image)
        photos = fit_photos(seen, resolution, self.native_resolution)
        instruction = self._chosen(prompt, text, prompt_embeds)
        defaults = {**drawing_defaults(self._backbone), **(instruction.record.drawing if instruction else {})}
        steps = int(_default(num_inference_steps, defaults["num_inference_steps"]))
        text_scale = float(_default(guidance_scale, defaults["guidance_scale"]))
        image_scale = float(_default(image_guidance_scale, defaults["image_guidance_scale"]))
        if not 1 <= steps <= self.scheduler.config.num_train_timesteps:
            limit = self.scheduler.config.num_train_timesteps
            raise InputError(f"num_inference_steps is {steps}; it must be 1 to {limit}.")
        if not (1 <= image_scale < math.inf and 0 <= text_scale < math.inf):
            raise InputError(
                f"guidance_scale is {text_scale} and image_guidance_scale {image_scale}; the first must not be negative, the "
                "second at least 1, and both finite."
            )
        if not math.isfinite(companion_scale):
            raise InputError(f"companion_scale is {companion_scale}; it must be finite.")
        if num_images_per_prompt < 1:
            raise InputError(f"num_images_per_prompt is {num_images_per_prompt}; it must be at least 1.")
        guidance = PriorGuidance(
            sketch_prior_scale=sketch_prior_scale,
            sketch_prior_start=sketch_prior_start,
            sketch_prior_stop=sketch_prior_stop,
            sketch_prior_init=sketch_prior_init,
        )

        settings = {
            "backbone": self._backbone,
            "instruction": dict(self._active) if instruction else None,
            "prompt": prompt,
            "text": text,
            "text_layout": text_layout,
            "negative_prompt": negative_prompt,
            "num_inference_steps": steps,
            "guidance_scale": text_scale,
            "image_guidance_scale": image_scale,
            "instruction_scale": float(instruction_scale),
            "eta": eta,
            "scheduler": type(self.scheduler).__name__,
            "size": list(photos[0].size),
            "num_images_per_prompt": num_images_per_prompt,
            "seed": _seeds(generator),
        }

        if instruction is not None:
            if instruction.companion is not None:
                settings["companion_scale"] = float(companion_scale)
            prompt_embeds = self._embeddings(instruction.strength(float(instruction_scale)), text, text_layout)
        if prompt_embeds is None:
            prompts = [prompt] * len(photos) if isinstance(prompt, str) else prompt or []
            prompt = [p for p in self._matched(prompts, len(photos), "prompts") for _ in range(num_images_per_prompt)]
            if negative_prompt_embeds is not None:
                negative_prompt_embeds = self._spread(negative_prompt_embeds, len(photos), num_images_per_prompt)
            if isinstance(negative_prompt, str):
                negative_prompt = [negative_prompt] * len(prompt)
            elif negative_prompt is not None:
                each = self._matched(negative_prompt, len(photos), "negative prompts")
                negative_prompt = [p for p in each for _ in range(num_images_per_prompt)]
        else:
            prompt_embeds = self._spread(prompt_embeds, len(photos), num_images_per_prompt)
            if text_scale == image_scale == 1:
                negative_prompt_embeds = None
            else:
                if negative_prompt_embeds is None:
                    negative_prompt_embeds = self._negatives(negative_prompt, prompt_embeds.shape[1])
                negative_prompt_embeds = self._spread(negative_prompt_embeds, len(photos), num_images_per_prompt)
            negative_prompt = None
        if ip_adapter_image_embeds is not None and ip_adapter_image is None:
            ip_adapter_image, ip_adapter_image_embeds = _GivenEmbeds(ip_adapter_image_embeds), None

        prior = self._prior_of(seen, photos[0].size, prior_sketch) if guidance.uses_prior else None
        if prior is not None:
            settings |= {**guidance.prior_arguments, "inversion_error": prior.error.tolist()}

        with (
            self._guided(prior, guidance, photos, num_images_per_prompt),
            self._joined(instruction and instruction.companion, float(companion_scale) * float(instruction_scale)),
            weighed_branches(self.unet, text_scale, image_scale),
            # Two steps would win nothing, and a callback may change rows or weights between steps.
            rows_read_once(self.unet) if callback_on_step_end is None and steps > 2 else nullcontext(),
        ):
            images, unsafe = super().__call__(
                prompt=prompt,  # type: ignore[arg-type]
                image=[photo for photo in photos for _ in range(num_images_per_prompt)],
                num_inference_steps=steps,
                guidance_scale=text_scale,
                image_guidance_scale=image_scale,
                negative_prompt=negative_prompt,
                eta=eta,
                generator=generator,
                latents=latents,
                prompt_embeds=prompt_embeds,
                negative_prompt_embeds=negative_prompt_embeds,
                ip_adapter_image=ip_adapter_image,
                ip_adapter_image_embeds=ip_adapter_image_embeds,
                output_type=output_type,
                return_dict=False,
                callback_on_step_end=callback_on_step_end,
                callback_on_step_end_tensor_inputs=list(callback_on_step_end_tensor_inputs),
                cross_attention_kwargs=cross_attention_kwargs,
            )
        if not return_dict:
            return images, unsafe  # type: ignore[return-value]
        return OneShotSketchOutput(images=images, nsfw_content_detected=unsafe, settings=settings, prior=prior)

    def prepare_ip_adapter_image_embeds(
        self,
        ip_adapter_image: Any,
        ip_adapter_image_embeds: Any,
        device: torch.device,
        num_images_per_prompt: int,
        do_classifier_free_guidance: bool,
    ) -> Any:
        if isinstance(ip_adapter_image, _GivenEmbeds):
            ip_adapter_image, ip_adapter_image_embeds = None, list(ip_adapter_image)
        return super().prepare_ip_adapter_image_embeds(
            ip_adapter_image, ip_adapter_image_embeds, device, num_images_per_prompt, do_classifier_free_guidance
        )

    def enable_xformers_memory_efficient_attention(self, attention_op: Callable[..., Any] | None = None) -> None:
        """xformers where it works; elsewhere one warning, and PyTorch's own attention, which is as fast."""
        try:
            super().enable_xformers_memory_efficient_attention(attention_op)
        except Exception as error:
            reason = str(error).strip().split("\n")[0]
            logger.warning("xformers is not usable here (%s); using PyTorch's scaled_dot_product_attention.", reason)
            self.disable_xformers_memory_efficient_attention()

    def _chosen(self, prompt: Any, text: str | None, prompt_embeds: Tensor | None) -> LearnedInstruction | None:
        if (prompt is not None) + (prompt_embeds is not None) + (text is not None) > 1:
            raise InputError(
                "prompt and prompt_embeds replace the learned instruction and text is joined with it; give one of the three."
            )
        if prompt is not None or prompt_embeds is not None:
            return None
        instruction = self.instruction
        if instruction is None:
            raise InputError("there is nothing to draw by; load_instruction() first, or pass prompt=.")
        return instruction

    def _embeddings(self, instruction: LearnedInstruction, text: str | None, layout: Literal["compact", "visii"]) -> Tensor:
        """(1, L, d) rows to attend to."""
        rows = instruction.embeddings
        if text:
            ids = self.tokenizer(self.maybe_convert_prompt(text, self.tokenizer)).input_ids
            room = self.tokenizer.model_max_length
            if len(ids) > room:
                logger.warning("The text has %d tokens, more than the %d the backbone reads; its end is dropped.", len(ids), room)
            rows = instruction.with_text(self._rows(text), min(len(ids), room) - 1, layout)
        return rows[None]

    def _negatives(self, prompt: str | list[str] | None, length: int) -> Tensor:
        """(1 or photos, length, d), the rows of negative prompts; repeated beyond their end, which attention cannot tell."""
        rows = torch.stack([self._rows(one) for one in (prompt if isinstance(prompt, list) else [prompt or ""])])
        return rows.repeat(1, -(-length // rows.shape[1]), 1)[:, :length]

    def _rows(self, text: str) -> Tensor:
        return self._encode_prompt(text, self._execution_device, 1, False)[0]

    def _spread(self, embeds: Tensor, photos: int, copies: int) -> Tensor:
        """(1 or photos, L, d) → (photos · copies, L, d), each photo's copies together."""
        embeds = embeds.to(self._execution_device, self.unet.dtype)
        if len(embeds) not in (1, photos):
            raise InputError(f"there are {len(embeds)} prompt embeddings for {photos} photos; give one, or one each.")
        return embeds.expand(photos, -1, -1).repeat_interleave(copies, 0)

    def _matched(self, items: list[str], photos: int, what: str) -> list[str]:
        if len(items) == 1:
            return items * photos
        if len(items) != photos:
            raise InputError(f"there are {len(items)} {what} for {photos} photos; give one, or one each.")
        return items


def _default(value: float | None, otherwise: float) -> float:
    return otherwise if value is None else value


def _seeds(generator: torch.Generator | list[torch.Generator] | None) -> int | list[int] | None:
    if generator is None:
        return None
    return generator.initial_seed() if isinstance(generator, torch.Generator) else [g.initial_seed() for g in generator]
