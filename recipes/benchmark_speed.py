"""Ours against VISII's recipe and stock diffusers calls: time as paired ratios, FLOPs, peak memory.

    python recipes/benchmark_speed.py --output runs/speed                       # every case that this machine can run
    python recipes/benchmark_speed.py --output runs/speed --case "learn full 256"

A case runs in a process of its own. In it, ours and theirs take turns, and the ratio is the median over turns, with the
spread from the lower to the upper quartile; memory is the process's peak from when the backbone is there, with theirs left out
or alone, of anonymous pages: those of mapped files can be dropped. The backbone "full" has Stable Diffusion 1.5's sizes and
random weights. rows.jsonl keeps what is done; speed.md is the table.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import disk_offload
from accelerate.hooks import remove_hook_from_submodules
from diffusers import AutoencoderKL, EulerAncestralDiscreteScheduler, StableDiffusionInstructPix2PixPipeline, UNet2DConditionModel
from PIL import Image
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from oneshot_sketch import (
    FrozenInstructPix2Pix,
    InstructionLearner,
    InstructionLearnerConfig,
    OneShotSketchPipeline,
    PhotoSketchPair,
)
from oneshot_sketch.backbone import MINI

# what, backbone, side in pixels, draws a step or photos at once, turns
CASES: dict[str, tuple[str, str, int, int, int]] = {
    "learn mini 128": ("learn", "mini", 128, 8, 9),
    "learn mini, from pair to instruction": ("whole", "mini", 128, 1, 3),
    "learn full 256": ("learn", "full", 256, 4, 5),
    "learn full 512": ("learn", "full", 512, 1, 3),
    "checkpointing full 256": ("checkpointing", "full", 256, 4, 5),
    "checkpointing full 512": ("checkpointing", "full", 512, 1, 3),
    "offloading full 512": ("offloading", "full", 512, 1, 3),
    "sketch mini 128": ("sketch", "mini", 128, 1, 15),
    "sketch mini 128, ten at once": ("sketch", "mini", 128, 10, 7),
    "sketch full 256": ("sketch", "full", 256, 1, 3),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--case", choices=CASES, help="this one alone")
    parser.add_argument("--side", choices=("both", "ours", "theirs"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    if args.side:
        print(json.dumps(run(args.case, args.side)))
        return
    record = args.output / "rows.jsonl"
    rows = {row["case"]: row for row in map(json.loads, record.read_text().splitlines())} if record.is_file() else {}
    for case in [args.case] if args.case else [case for case in CASES if case not in rows]:
        print(case, flush=True)
        row = {"case": case, **in_a_process(case, "both", args.output)}
        row |= {f"{side}_peak_mb": in_a_process(case, side, args.output)["peak_mb"] for side in ("ours", "theirs")}
        rows[case] = row
        with record.open("a") as file:
            file.write(json.dumps(row) + "\n")
        (args.output / "speed.md").write_text(table(rows))
    print(table(rows))
    print(f"written to {args.output}")


def in_a_process(case: str, side: str, output: Path) -> dict[str, Any]:
    command = [sys.executable, __file__, "--output", str(output), "--case", case, "--side", side]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.strip().splitlines()[-1])


def run(case: str, side: str) -> dict[str, Any]:
    what, backbone, pixels, count, turns = CASES[case]
    torch.manual_seed(0)
    memory = Memory()
    pipe = backbone_of(backbone, pixels)
    pixel = np.random.default_rng(0).integers(0, 256, (pixels, pixels, 3), np.uint8)
    pair = PhotoSketchPair(Image.fromarray(pixel), Image.fromarray(pixel).convert("L"))
    kinds = {"learn": Learning, "whole": Whole, "checkpointing": Checkpointing, "offloading": Offloading, "sketch": Sketching}
    match = kinds[what](pipe, pair, pixels, count)
    if side != "both":
        match.switch(side)
    memory.peak = 0  # what building took does not count
    ours, theirs = match.turns(turns + 1 if side == "both" else 1, side)  # the first warms up
    found: dict[str, Any] = {"peak_mb": memory.peak / 1024}
    if side == "both":
        ratios = [b / a for a, b in zip(ours[1:], theirs[1:], strict=True)]
        lower, _, upper = statistics.quantiles(ratios, n=4)
        found |= {"ratio": statistics.median(ratios), "spread": [lower, upper]}
        found |= {"ours_seconds": statistics.median(ours[1:]), "theirs_seconds": statistics.median(theirs[1:])}
        found |= {"ours_tflop": match.tflop(match.ours), "theirs_tflop": match.tflop(match.theirs)}
    return found


class Memory(threading.Thread):
    """Looks at this process twenty times a second; `peak` is the most anonymous memory it had, in KiB (Linux)."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak = 0
        self.start()

    def run(self) -> None:
        while True:
            status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
            self.peak = max(self.peak, int(status["RssAnon"].split()[0]))
            time.sleep(0.05)


class Match:
    """Ours and theirs, in turns; the shares are how often what a turn does is counted."""

    share = their_share = 1.0

    def ours(self) -> None: ...

    def theirs(self) -> None: ...

    def switch(self, name: str) -> None:
        """Before a side is measured."""

    def turns(self, count: int, side: str) -> tuple[list[float], list[float]]:
        found: tuple[list[float], list[float]] = ([], [])
        for _ in range(count):
            for name, act, times in (("ours", self.ours, found[0]), ("theirs", self.theirs, found[1])):
                if side in ("both", name):
                    times.append(seconds(act) * (self.share if name == "ours" else self.their_share))
        return found

    def tflop(self, act: Callable[[], None]) -> float:
        with FlopCounterMode(display=False) as counter:
            act()
        return counter.get_total_flops() / 1e12 * (self.share if act == self.ours else self.their_share)


class Learning(Match):
    """A learning draw of ours, against VISII's step of one draw: three guided branches with the gradient through them.

    The edit loss, which needs a CLIP, is left out of both; both have the attention that is faster on a CPU.
    """

    def __init__(self, pipe: Any, pair: PhotoSketchPair, pixels: int, draws: int) -> None:
        self.pair, self.share, self.unet = pair, 1 / draws, pipe.unet
        self.config = InstructionLearnerConfig(
            steps=1, draws=draws, drawings=0, edit_weight=0.0, select_every=0, grid=1, text="pencil",
            augmentations=1, resolution=pixels, judge="loss",
        )  # fmt: skip
        self.frozen = FrozenInstructPix2Pix(pipe, "benchmark")
        dtype, length = pipe.unet.dtype, pipe.tokenizer.model_max_length
        self.neutral = torch.randn(1, length, pipe.unet.config.cross_attention_dim, dtype=dtype)
        self.free = self.neutral.clone().requires_grad_()
        self.adam = torch.optim.AdamW([self.free], lr=1e-3)
        side = pixels // pipe.vae_scale_factor
        self.z, self.z_p, self.noise = torch.randn(3, 1, pipe.unet.config.out_channels, side, side, dtype=dtype)

    def turns(self, count: int, side: str) -> tuple[list[float], list[float]]:
        ours: list[float] = []
        theirs: list[float] = []
        if side == "theirs":
            return ours, [seconds(self.theirs) for _ in range(count)]
        begin = 0.0

        def after(_: Any) -> None:
            nonlocal begin
            ours.append((time.perf_counter() - begin) * self.share)
            if side == "both":
                theirs.append(seconds(self.theirs))
            begin = time.perf_counter()

        self.learn(count + 1, after)
        return ours[1:], theirs[1:]  # the first of ours began before the learner had encoded the pair

    def learn(self, steps: int, after: Callable[[Any], None] | None = None) -> None:
        learner = InstructionLearner(self.frozen, replace(self.config, steps=steps))
        learner.learn(self.pair, callback=after, progress=False)

    def tflop(self, act: Callable[[], None]) -> float:
        if act == self.theirs:
            return super().tflop(act)
        one, two = (super(Learning, self).tflop(partial(self.learn, steps)) for steps in (1, 2))
        return (two - one) * self.share

    def theirs(self) -> None:
        x = torch.cat([torch.cat([self.z] * 3), torch.cat([self.z_p, self.z_p, torch.zeros_like(self.z_p)])], 1)
        rows = torch.cat([self.free, self.neutral, self.neutral])
        text, photo, nothing = self.unet(x, torch.tensor([500]), rows, return_dict=False)[0].chunk(3)
        guided = nothing + 7.5 * (text - photo) + 1.5 * (photo - nothing)
        F.mse_loss(guided.float(), self.noise.float()).backward()
        self.adam.step()
        self.adam.zero_grad()


class Whole(Match):
    """Our default preset, from the pair to the instruction, against VISII's: a tenth of its thousand steps, counted ten times.

    Theirs starts from a plain text, without the search for a hard prompt, and hardly judges its steps. What it does before the
    first of them is counted ten times too, about 2 % of the whole.
    """

    their_share = 10.0

    def __init__(self, pipe: Any, pair: PhotoSketchPair, pixels: int, draws: int) -> None:
        self.pair, self.frozen = pair, FrozenInstructPix2Pix.from_pretrained("mini")
        config = InstructionLearnerConfig.preset("visii")
        self.visii = replace(config, steps=config.steps // 10, init="text", grid=1, resolution=pixels)

    def ours(self) -> None:
        InstructionLearner(self.frozen).learn(self.pair, progress=False)

    def theirs(self) -> None:
        InstructionLearner(self.frozen, self.visii).learn(self.pair, progress=False)


class Checkpointing(Learning):
    """A draw of ours, against the same with gradient checkpointing."""

    def turns(self, count: int, side: str) -> tuple[list[float], list[float]]:
        found: dict[str, list[float]] = {"ours": [], "theirs": []}
        for name in found:
            if side in ("both", name):
                if side == "both":
                    self.switch(name)
                found[name] = super().turns(count, "ours")[0]
        return found["ours"], found["theirs"]

    def switch(self, name: str) -> None:
        if name == "theirs":
            self.unet.enable_gradient_checkpointing()
        else:
            self.unet.disable_gradient_checkpointing()

    def tflop(self, act: Callable[[], None]) -> float:
        self.switch("theirs" if act == self.theirs else "ours")
        return super().tflop(self.ours)


class Offloading(Checkpointing):
    """A draw of ours, against the same with gradient checkpointing and all weights on disk until they are needed."""

    def __init__(self, pipe: Any, pair: PhotoSketchPair, pixels: int, draws: int) -> None:
        super().__init__(pipe, pair, pixels, draws)
        self.parts = {"unet": pipe.unet, "vae": pipe.vae, "text_encoder": pipe.text_encoder}
        self.folder = tempfile.TemporaryDirectory()

    def switch(self, name: str) -> None:
        super().switch(name)
        for part, module in self.parts.items():
            if name == "theirs":
                disk_offload(module, f"{self.folder.name}/{part}", torch.device("cpu"))
            else:
                remove_hook_from_submodules(module)


class Sketching(Match):
    """A call of our pipeline with an instruction, against the stock pipeline given its embeddings."""

    def __init__(self, pipe: Any, pair: PhotoSketchPair, pixels: int, photos: int) -> None:
        self.stock, self.photos = pipe, [pair.photo] * photos
        self.pipe = OneShotSketchPipeline(**pipe.components)
        config = InstructionLearnerConfig(
            steps=1, draws=1, drawings=0, edit_weight=0.0, select_every=0, grid=1, text="pencil",
            augmentations=1, resolution=pixels, judge="loss",
        )  # fmt: skip
        self.instruction = InstructionLearner(FrozenInstructPix2Pix(pipe, "benchmark"), config).learn(pair, progress=False)
        pipe.unet.set_default_attn_processor()
        self.pipe.load_instruction(self.instruction)
        for one in (self.stock, self.pipe):
            one.set_progress_bar_config(disable=True)
        self.arguments = {"num_inference_steps": 4, "guidance_scale": 7.5, "image_guidance_scale": 1.5}

    def ours(self) -> None:
        self.pipe(image=self.photos, **self.arguments, generator=torch.Generator().manual_seed(0))

    def theirs(self) -> None:
        rows = (self.instruction.embeddings, self.instruction.neutral)
        cond, neutral = (part[None].to(self.stock.unet.dtype).repeat(len(self.photos), 1, 1) for part in rows)
        self.stock(
            image=self.photos, prompt_embeds=cond, negative_prompt_embeds=neutral, **self.arguments,
            generator=torch.Generator().manual_seed(0),
        )  # fmt: skip


def seconds(act: Callable[[], None]) -> float:
    begin = time.perf_counter()
    act()
    return time.perf_counter() - begin


def backbone_of(name: str, pixels: int) -> Any:
    """ "mini" in float32, or Stable Diffusion 1.5's sizes with random weights in bfloat16."""
    if name == "mini":
        return StableDiffusionInstructPix2PixPipeline.from_pretrained(MINI, safety_checker=None, requires_safety_checker=False)
    text = CLIPTextConfig(
        vocab_size=49408, hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12,
        hidden_act="quick_gelu", projection_dim=768, bos_token_id=0, eos_token_id=1,
    )  # fmt: skip
    tokenizer = CLIPTokenizer.from_pretrained(MINI / "tokenizer", model_max_length=77)
    torch.set_default_dtype(torch.bfloat16)  # so that no float32 weights count as memory
    pipe = StableDiffusionInstructPix2PixPipeline(
        vae=AutoencoderKL(
            block_out_channels=(128, 256, 512, 512),
            layers_per_block=2,
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            latent_channels=4,
            sample_size=512,
        ),
        text_encoder=CLIPTextModel(text),
        tokenizer=tokenizer,
        unet=UNet2DConditionModel(sample_size=pixels // 8, in_channels=8, cross_attention_dim=768, attention_head_dim=8),
        scheduler=EulerAncestralDiscreteScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", timestep_spacing="leading", steps_offset=1
        ),
        safety_checker=None,  # type: ignore[arg-type]
        feature_extractor=None,  # type: ignore[arg-type]
        requires_safety_checker=False,
    )
    torch.set_default_dtype(torch.float32)
    return pipe


def table(rows: dict[str, dict[str, Any]]) -> str:
    head = (
        "| | ours, s | theirs, s | ratio (quartiles) | TFLOP ours, theirs | peak MB ours, theirs |\n|---|---|---|---|---|---|\n"
    )
    return head + "".join(
        f"| {row['case']} | {row['ours_seconds']:.3g} | {row['theirs_seconds']:.3g} | {row['ratio']:.2f} "
        f"({row['spread'][0]:.2f} to {row['spread'][1]:.2f}) | {row['ours_tflop']:.3g}, {row['theirs_tflop']:.3g} | "
        f"{row['ours_peak_mb']:.0f}, {row['theirs_peak_mb']:.0f} |\n"
        for row in rows.values()
    )


if __name__ == "__main__":
    main()
