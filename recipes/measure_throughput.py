"""What sketching many photos costs beside the networks themselves: throughput, memory, and several processes.

    python recipes/measure_throughput.py                    # generated photos
    python recipes/measure_throughput.py --photos faces/    # your own; the first 256 of them

Prints photos a second of the bare calls (encode, UNet, scheduler, decode of tensors in memory) and of `sketch_photos` on
files, in alternating rounds at one batch size; the peak memory of runs of 200 and 2,000 photos; and photos a second of one
and two processes with a core each. Writes throughput.json. Times are the processor's own where it says so, because other
work on a machine takes from the clock and not from them.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from oneshot_sketch import FrozenInstructPix2Pix, LearnedInstruction
from oneshot_sketch.atomic import replacing
from oneshot_sketch.batch import DrawingSettings
from oneshot_sketch.batch.drawing import Drawing
from oneshot_sketch.batch.photos import Photo
from oneshot_sketch.batch.stream import sketch_stream
from oneshot_sketch.images import open_image, to_tensor
from oneshot_sketch.learned_instruction import InstructionRecord
from oneshot_sketch.pipelines.loading import load_backbone

COMMAND = "from oneshot_sketch.cli.main import main; main()"


def generate(folder: Path, count: int) -> list[Path]:
    """JPEG photos of 256 pixels, as large on disk as real ones of that size."""
    folder.mkdir(parents=True)
    paths = [folder / f"{i:05d}.jpg" for i in range(count)]
    for i, path in enumerate(paths):
        rng = np.random.default_rng(i)
        coarse = Image.fromarray(rng.integers(0, 256, (16, 16, 3), np.uint8)).resize((256, 256), Image.Resampling.BICUBIC)
        grain = rng.normal(0, 6, (256, 256, 1))
        Image.fromarray((np.asarray(coarse) + grain).clip(0, 255).astype(np.uint8)).save(path, quality=90)
    return paths


def an_instruction(folder: Path) -> Path:
    """Of a plain text: what is drawn does not matter here, and costs the same."""
    pipe = load_backbone("mini", None)
    rows = pipe._encode_prompt(["pencil drawing", ""], pipe.device, 1, False).float().cpu()
    LearnedInstruction(rows[0], rows[1], (1, 7), InstructionRecord(backbone="mini")).save_pretrained(folder)
    return folder


@torch.no_grad()
def bare(drawing: Drawing, frozen: FrozenInstructPix2Pix, pixels: torch.Tensor, size: int) -> None:
    """The networks and the scheduler alone: (N, 3, H, W) in [-1, 1] → sketches that nobody keeps."""
    pipe, call = drawing.pipe, drawing.call
    instruction = pipe.instruction
    assert instruction is not None
    rows = torch.stack([instruction.embeddings, instruction.neutral, instruction.neutral]).to(pipe.device, pipe.unet.dtype)
    rows = rows.repeat_interleave(size, 0)
    for batch in pixels.split(size):
        encoded = frozen.encode_photo(batch).to(pipe.unet.dtype)
        photo = torch.cat([encoded, encoded, torch.zeros_like(encoded)])
        pipe.scheduler.set_timesteps(call["num_inference_steps"], device=pipe.device)
        latents = torch.randn_like(encoded) * pipe.scheduler.init_noise_sigma
        for step in pipe.scheduler.timesteps:
            noisy = pipe.scheduler.scale_model_input(torch.cat([latents] * 3), step)
            text, image, nothing = pipe.unet(torch.cat([noisy, photo], 1), step, rows).sample.chunk(3)
            guided = nothing + call["guidance_scale"] * (text - image) + call["image_guidance_scale"] * (image - nothing)
            latents = pipe.scheduler.step(guided, step, latents).prev_sample
        pipe.vae.decode(latents / pipe.vae.config.scaling_factor)


def compare(paths: list[Path], instruction: Path, size: int, rounds: int, work: Path) -> dict[str, Any]:
    """Seconds of the clock and of the processor for the same photos, bare and through files, round after round."""
    drawing = Drawing(LearnedInstruction.from_pretrained(instruction), DrawingSettings())
    paths = paths[: len(paths) // size * size]
    photos = [Photo(path.stem, str(path)) for path in paths]
    pixels = to_tensor([drawing.fit(open_image(path)) for path in paths])
    frozen = FrozenInstructPix2Pix.from_pipeline(drawing.pipe, "mini")
    bare(drawing, frozen, pixels[:size], size)
    spent: dict[str, list[tuple[float, float]]] = {"bare": [], "sketched": []}
    for _ in range(rounds):
        start = time.perf_counter(), time.process_time()
        bare(drawing, frozen, pixels, size)
        spent["bare"].append((time.perf_counter() - start[0], time.process_time() - start[1]))
        shutil.rmtree(work, ignore_errors=True)
        start = time.perf_counter(), time.process_time()
        for _done in sketch_stream(drawing, photos, work, size):
            pass
        spent["sketched"].append((time.perf_counter() - start[0], time.process_time() - start[1]))
    result: dict[str, Any] = {"batch": size, "photos": len(photos), "rounds": rounds}
    for k, clock in enumerate(("wall", "processor")):
        rates = {name: len(photos) * rounds / sum(one[k] for one in times) for name, times in spent.items()}
        result[clock] = {**rates, "ratio": rates["sketched"] / rates["bare"]}
    return result


def resident(paths: list[Path], instruction: Path, size: int, work: Path) -> float:
    """Peak resident MiB of a process that sketches these photos."""
    program = (
        "import sys\nfrom oneshot_sketch.benchmark.cost import Cost\nfrom oneshot_sketch.batch import sketch_photos\n"
        "with Cost() as cost: sketch_photos(iter(sys.stdin), sys.argv[1], sys.argv[2], batch_size=int(sys.argv[3]))\n"
        "print(cost.memory)"
    )
    arguments = [sys.executable, "-c", program, str(instruction), str(work), str(size)]
    lines = "\n".join(map(str, paths))
    return float(subprocess.run(arguments, input=lines, capture_output=True, text=True, check=True).stdout)


def spread(folder: Path, instruction: Path, workers: int, size: int, work: Path) -> dict[str, float]:
    """Photos a second of torchrun's workers, a thread each, and as many a second of processor time, were all workers' full.

    Starting up is measured by the same command again, which finds everything drawn, and taken off.
    """
    clock, processor = [], []
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--no-python", f"--nproc_per_node={workers}"]
    for _ in range(2):
        launcher = [
            sys.executable,
            "-m",
            *"torch.distributed.run --standalone --no-python --nproc_per_node".split(),
            str(workers),
        ]
        sketch = [sys.executable, "-c", COMMAND, "sketch", str(folder), "--instruction", str(instruction)]
        start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(
            [*launcher, *sketch, "--output", str(work), "--batch-size", str(size)],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            check=True,
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        clock.append(time.perf_counter() - start)
        processor.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    drawn = len(list(work.glob("*.png")))
    return {
        "starting_seconds": clock[1],
        "photos_a_second": drawn / (clock[0] - clock[1]),
        "photos_a_second_of_processor": workers * drawn / (processor[0] - processor[1]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, help="a folder; default generated ones")
    parser.add_argument("--output", type=Path, default=Path("runs/throughput"))
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--count", type=int, default=64, help="photos a round")
    parser.add_argument("--only", choices=("ratio", "memory", "workers"), help="default all three")
    options = parser.parse_args()
    found: dict[str, Any] = {"threads": torch.get_num_threads()}
    with tempfile.TemporaryDirectory() as place:
        room = Path(place)
        instruction = an_instruction(room / "instruction")
        if options.photos:
            paths = sorted(path for path in options.photos.iterdir() if path.suffix.lower() in (".jpg", ".png"))
        else:
            paths = generate(room / "photos", 2000 if options.only != "ratio" else options.count)
        if options.only in (None, "ratio"):
            sizes = options.batch_sizes
            found["ratio"] = [
                compare(paths[: options.count], instruction, size, options.rounds, room / "drawn") for size in sizes
            ]
        if options.only in (None, "memory"):
            size = options.batch_sizes[-1]
            found["memory"] = {n: resident(paths[:n], instruction, size, room / f"memory {n}") for n in (200, 2000)}
        if options.only in (None, "workers"):
            some = room / "some"
            some.mkdir()
            for path in paths[:200]:
                shutil.copy(path, some)
            size = options.batch_sizes[-1]
            found["workers"] = {n: spread(some, instruction, n, size, room / f"workers {n}") for n in (1, 2)}
    print(json.dumps(found, indent=1))
    with replacing(options.output / "throughput.json") as part:
        part.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
