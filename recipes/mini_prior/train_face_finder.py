"""Sources → the embedded face finder (step 2): half an hour on one core.

    python recipes/mini_prior/train_face_finder.py --sources runs/face_finder --output runs/face_finder/run
    python recipes/mini_prior/train_face_finder.py … --release oneshot_sketch/mini_prior/face_finder
    python recipes/mini_prior/train_face_finder.py … --start runs/face_finder/first --blend 0.5 --learning-rate 7e-4

Every scene is a function of (seed, step), so a stopped run, started again with the same arguments, resumes from its last
checkpoint to the same bytes on one thread; `--steps` may be changed until the learning rate falls. `--release` writes the
finished network in half precision; `--start` goes on from such a network, and `--blend` of the released weights are the start's
(Wortsman et al. 2022, robust fine-tuning): what the scenes of both runs teach is kept.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from face_scenes import Scene, Scenes, Sources
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F
from tqdm import trange

from oneshot_sketch.atomic import replacing, replacing_folder
from oneshot_sketch.models.face_finder import FaceFinderNetwork, FaceMaps, cells, detections, reach

CELLS = 32
WARM_UP, FALLING = 150, 0.4  # steps; share of all steps
SPREAD, FLOOR = 0.22, 2.8  # of the heat around a centre: in reaches, and at least in pixels
TRUSTED = 0.4  # cells with at least this heat learn the points
LEGIBLE = 12.0  # pixels of reach under which nobody can tell a drawing
WEIGHTS = {"heat": 1.0, "points": 4.0, "reach": 0.5, "drawn": 1.0}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sources", type=Path, required=True, help="folder that face_sources.py wrote")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--release", type=Path, help="folder for the finished network in half precision")
    parser.add_argument("--start", type=Path, help="folder of a released network to go on from, instead of a random one")
    parser.add_argument("--blend", type=float, default=0.0, help="share of --start in what is released, 0 to 1")
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--learning-rate", type=float, default=1.5e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--validation", type=int, default=400, help="held-out scenes to judge by")
    parser.add_argument("--every", type=int, default=250, help="steps between checkpoints")
    args = parser.parse_args()
    if (args.blend and not args.start) or not 0 <= args.blend <= 1:
        parser.error(f"--blend {args.blend} is no share between 0 and 1 of a network that --start names.")
    cv2.setNumThreads(1)
    torch.manual_seed(args.seed)

    model = FaceFinderNetwork().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    before = FaceFinderNetwork.from_pretrained(args.start).state_dict() if args.start else model.state_dict()
    model.load_state_dict(before)
    decayed = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    optimiser = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.02}, {"params": others, "weight_decay": 0.0}], betas=(0.9, 0.99), fused=True
    )
    asked = {key: getattr(args, key) for key in ("steps", "batch", "learning_rate", "seed")} | {"start": str(args.start or "")}
    checkpoint = args.output / "checkpoint.safetensors"
    first = resume(checkpoint, model, optimiser, asked) if checkpoint.is_file() else 0

    scenes = Scenes(Sources.read(args.sources, held_out=False))
    unseen = Scenes(Sources.read(args.sources, held_out=True))
    validation = [unseen.scene(np.random.default_rng((args.seed, 1 << 32, i))) for i in range(args.validation)]
    begun, running = time.monotonic(), {}
    for step in (bar := trange(first, args.steps, initial=first, total=args.steps, mininterval=5)):
        for group in optimiser.param_groups:
            group["lr"] = args.learning_rate * rate(step, args.steps)
        rng = np.random.default_rng((args.seed, step))
        batch = [scenes.scene(rng) for _ in range(args.batch)]
        with torch.autocast("cpu", torch.bfloat16):
            maps = model(pictures(batch))
        losses = compare(maps, batch)
        loss = sum(WEIGHTS[name] * value for name, value in losses.items())
        loss.backward()  # type: ignore[union-attr]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimiser.step()
        optimiser.zero_grad()
        for name, value in losses.items():
            running[name] = 0.98 * running.get(name, value.item()) + 0.02 * value.item()
        if (step + 1) % 50 == 0:
            bar.set_postfix({name: f"{value:.3f}" for name, value in running.items()})
        if (step + 1) % args.every == 0 or step + 1 == args.steps:
            save(checkpoint, model, optimiser, step + 1, asked)
            report = validate(model, validation) | {"step": step + 1, "minutes": round((time.monotonic() - begun) / 60, 2)}
            bar.write(json.dumps(report))
    if args.release:
        if args.blend:
            model.load_state_dict(
                {
                    name: value.lerp(before[name], args.blend) if value.is_floating_point() else value
                    for name, value in model.state_dict().items()
                }
            )
        release(model, args.release)


def rate(step: int, steps: int) -> float:
    """Rises, stays, and falls over the last part to zero."""
    return min(1, (step + 1) / WARM_UP, (steps - step) / (FALLING * steps))


def pictures(batch: list[Scene]) -> Tensor:
    stack = torch.from_numpy(np.stack([scene.picture for scene in batch]))
    return (stack.permute(0, 3, 1, 2).float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)


def compare(maps: FaceMaps, batch: list[Scene]) -> dict[str, Tensor]:
    """Penalty-reduced focal loss of the heat; errors of the points in reaches, and of the log reach, around every centre."""
    faces = torch.cat([torch.from_numpy(scene.points) for scene in batch])
    drawn = torch.from_numpy(np.concatenate([scene.drawn for scene in batch])).float()
    scene_of = torch.repeat_interleave(torch.arange(len(batch)), torch.tensor([len(scene.points) for scene in batch]))
    sizes = reach(faces)
    distance = (cells(CELLS, CELLS) - faces.mean(1)[..., None, None]).square().sum(1).flatten(1)
    bumps = torch.exp(-distance / (2 * (SPREAD * sizes).clamp(min=FLOOR).square()[:, None]))
    bumps[torch.arange(len(faces)), distance.argmin(1)] = 1
    heat = torch.zeros(len(batch), CELLS * CELLS).scatter_reduce_(0, scene_of[:, None].expand_as(bumps), bumps, "amax")

    face, cell = (bumps >= TRUSTED).nonzero(as_tuple=True)
    scene, share = scene_of[face], 1 / torch.bincount(face, minlength=len(faces))[face] / max(len(faces), 1)
    error = (maps.points.flatten(3)[scene, :, :, cell] - faces[face]).abs().mean((1, 2)) / sizes[face]
    growth = (maps.reach.flatten(2)[scene, 0, cell].log() - sizes[face].log()).abs()
    told = F.binary_cross_entropy_with_logits(maps.drawn.flatten(2)[scene, 0, cell], drawn[face], reduction="none")
    legible = (sizes >= LEGIBLE).float()
    logits = maps.heat.flatten(1)
    p = logits.sigmoid()
    positive = heat == 1
    focal = torch.where(positive, F.logsigmoid(logits) * (1 - p) ** 2, F.logsigmoid(-logits) * p**2 * (1 - heat) ** 4)
    return {
        "heat": -focal.sum() / max(len(faces), 1),
        "points": (share * error).sum(),
        "reach": (share * growth).sum(),
        "drawn": (share * told * legible[face]).sum() * len(faces) / legible.sum().clamp(min=1),
    }


@torch.no_grad()
def validate(model: FaceFinderNetwork, scenes: list[Scene], threshold: float = 0.4) -> dict[str, float]:
    """Recall, precision, mean point error in per cent of the reach, and the share of faces told drawn or photographed."""
    model.eval()
    found = [
        one for start in range(0, len(scenes), 50) for one in detections(model(pictures(scenes[start : start + 50])), threshold)
    ]
    model.train()
    hits, errors, told = 0, [], []
    for seen, scene in zip(found, scenes, strict=True):
        for face, drawn in zip(torch.from_numpy(scene.points), scene.drawn.tolist(), strict=True):
            apart = (seen.points - face).norm(dim=-1).mean(-1) / reach(face)
            if len(apart) and apart.min() < 0.5:
                hits += 1
                errors.append(apart.min().item())
                told.append((seen.drawn[apart.argmin()].item() > 0.5) == drawn)
    faces, answers = sum(len(scene.points) for scene in scenes), sum(len(seen.points) for seen in found)
    return {
        "recall": round(hits / faces, 4),
        "precision": round(hits / max(answers, 1), 4),
        "error": round(100 * float(np.mean(errors or [np.nan])), 2),
        "told": round(float(np.mean(told or [np.nan])), 4),
    }


def save(path: Path, model: FaceFinderNetwork, optimiser: torch.optim.AdamW, step: int, asked: dict[str, float | str]) -> None:
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    for name, parameter in model.named_parameters():
        tensors |= {f"{key}.{name}": value for key, value in optimiser.state[parameter].items()}
    run = json.dumps({"done": step, "asked": asked})
    with replacing(path) as part:
        save_file({name: value.contiguous() for name, value in tensors.items()}, part, {"run": run})


def resume(path: Path, model: FaceFinderNetwork, optimiser: torch.optim.AdamW, asked: dict[str, float | str]) -> int:
    with safe_open(path, "pt") as file:
        run = json.loads(file.metadata()["run"])
        before, done = run["asked"], run["done"]
        same_so_far = done <= (1 - FALLING) * min(before["steps"], asked["steps"])
        if before != asked and not (same_so_far and before | {"steps": asked["steps"]} == asked):
            raise SystemExit(f"{path} was trained with {before}; give the same arguments, or another --output.")
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    model.load_state_dict({name.removeprefix("model."): value for name, value in tensors.items() if name.startswith("model.")})
    for name, parameter in model.named_parameters():
        like = torch.channels_last if parameter.ndim == 4 else torch.contiguous_format
        moments = {key: tensors[f"{key}.{name}"] for key in ("step", "exp_avg", "exp_avg_sq")}
        optimiser.state[parameter] = {
            key: value.contiguous(memory_format=like) if value.ndim == 4 else value for key, value in moments.items()
        }
    return done


def release(model: FaceFinderNetwork, folder: Path) -> None:
    with replacing_folder(folder) as part:
        model.eval().half().save_pretrained(part)
    print(f"{(folder / 'diffusion_pytorch_model.safetensors').stat().st_size / 1e6:.2f} MB of weights in {folder}")


if __name__ == "__main__":
    main()
