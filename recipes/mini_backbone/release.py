"""Trained parts → the embedded backbone in diffusers layout, float16 but for the text encoder (step 6, the last).

    python recipes/mini_backbone/release.py --run runs/mini --weights runs/mini/decayed --output oneshot_sketch/mini

The defaults for drawing are written beside the parts, as drawing.json.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import torch
from diffusers import DDIMScheduler, StableDiffusionInstructPix2PixPipeline, UNet2DConditionModel
from transformers import CLIPModel, CLIPTextModel, CLIPTokenizer

from oneshot_sketch.models.patch_autoencoder import PatchAutoencoder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="folder with vae/ and clip/")
    parser.add_argument("--weights", type=Path, required=True, help="folder with unet/, text_encoder/, tokenizer/, scheduler/")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=1)
    parser.add_argument("--guidance-scale", type=float, default=1.0)
    parser.add_argument("--image-guidance-scale", type=float, default=1.0)
    parser.add_argument("--resolution", type=int, default=256, help="side in pixels to draw at; learning's is the UNet's own")
    args = parser.parse_args()

    pipe = StableDiffusionInstructPix2PixPipeline(
        vae=PatchAutoencoder.from_pretrained(args.run / "vae"),  # type: ignore[arg-type]
        text_encoder=CLIPTextModel.from_pretrained(args.weights / "text_encoder"),
        tokenizer=CLIPTokenizer.from_pretrained(args.weights / "tokenizer"),
        unet=UNet2DConditionModel.from_pretrained(args.weights / "unet"),
        scheduler=DDIMScheduler.from_pretrained(args.weights / "scheduler"),  # type: ignore[arg-type]
        safety_checker=None,  # type: ignore[arg-type]
        feature_extractor=None,  # type: ignore[arg-type]
        requires_safety_checker=False,
    )
    for part in ("unet", "vae", "text_encoder", "tokenizer", "scheduler", "clip"):
        shutil.rmtree(args.output / part, ignore_errors=True)
    pipe.to(torch.float16)
    pipe.text_encoder.float()  # transformers loads a file in its own precision, diffusers in float32: keep them alike
    pipe.save_pretrained(args.output)
    CLIPModel.from_pretrained(args.run / "clip").half().save_pretrained(args.output / "clip")
    pipe.tokenizer.save_pretrained(args.output / "clip")
    drawing = {
        "num_inference_steps": args.steps,
        "guidance_scale": args.guidance_scale,
        "image_guidance_scale": args.image_guidance_scale,
        "resolution": args.resolution,
    }
    (args.output / "drawing.json").write_text(json.dumps(drawing, indent=2) + "\n")
    size = sum(file.stat().st_size for file in args.output.rglob("*.safetensors"))
    print(f"{size / 2**20:.1f} MB of weights in {args.output}")


if __name__ == "__main__":
    main()
