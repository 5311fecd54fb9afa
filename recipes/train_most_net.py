"""Train a MOST-Net on a data set of pairs, with checkpoints, a curve, pictures and scores on the test split.

    python recipes/train_most_net.py --data cufs/cuhk_student --output runs/most_net --size 128 --no-square --width 32
    torchrun --nproc_per_node 2 recipes/train_most_net.py …

Run the same command again to go on where it stopped, or was killed. Every setting of `MostNetConfig` is a flag; what is left out
is the paper's. See docs/systems/most_net.md.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn, get_args, get_origin, get_type_hints

from oneshot_sketch.errors import InputError

if TYPE_CHECKING:
    from oneshot_sketch import PhotoSketchPair
    from oneshot_sketch.learners.most_net import MostNetProgress
    from oneshot_sketch.models.most_net import MostNet


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; see --help.")


def parse_args(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    from oneshot_sketch.learners.most_net import MostNetConfig

    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)
    parser.add_argument("--data", type=Path, required=True, help="root of the data set")
    parser.add_argument("--dataset", default="folder", help="its name: a key of oneshot_sketch.data.CATALOGUE")
    parser.add_argument("--style", help="only pairs of this style")
    parser.add_argument("--test-share", type=float, help="make a split of one's own: so much is test, by the hash of identities")
    parser.add_argument("--pairs", type=int, help="train on the first N pairs only; 1 is one-shot")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--network", default="vgg19", help="of the style and content losses: vgg19 (the paper's) or squeezenet")
    parser.add_argument("--weights", type=Path, help="its state dict; left out, torchvision's are downloaded")
    parser.add_argument("--caffe", action="store_true", help="those weights read Caffe's input")
    parser.add_argument("--squeeze-lpips", type=Path, nargs=2, metavar=("NET", "HEADS"), help="also score LPIPS and FID by these")
    parser.add_argument("--minutes", type=float, help="stop after so long, to go on with the same command")
    parser.add_argument("--checkpoint-every", type=int, default=200, metavar="STEPS")
    parser.add_argument(
        "--judge-every", type=int, default=200, metavar="STEPS", help="SSIM and a sheet of the first 20 test photos"
    )
    settings = parser.add_argument_group("settings of MostNetConfig")
    hints = get_type_hints(MostNetConfig)
    for field in fields(MostNetConfig):
        kind, flag = hints[field.name], f"--{field.name.replace('_', '-')}"
        if kind is bool:
            settings.add_argument(flag, action=argparse.BooleanOptionalAction, default=field.default)
        elif get_origin(kind) is tuple:
            settings.add_argument(flag, type=float, nargs=len(get_args(kind)), default=field.default)
        else:
            choices = get_args(kind) if get_origin(kind) is Literal else None
            settings.add_argument(flag, type=str if choices else kind, choices=choices, default=field.default)
    args = parser.parse_args(arguments)
    for name in ("pairs", "checkpoint_every", "judge_every"):
        if (value := getattr(args, name)) is not None and value < 1:
            raise InputError(f"--{name.replace('_', '-')} is {value}; it must be at least 1.")
    args.betas = tuple(args.betas)
    return args


def run(args: argparse.Namespace) -> int:
    """Returns the exit code."""
    from oneshot_sketch.learners.most_net import MostNetConfig, MostNetLearner
    from oneshot_sketch.learners.most_net_features import StyleAndContent
    from oneshot_sketch.learners.run import start_accelerator
    from oneshot_sketch.learners.shares import Shares

    config = MostNetConfig(**{field.name: getattr(args, field.name) for field in fields(MostNetConfig)})
    train, test = read_split(args.dataset, args.data, args.style, args.test_share)
    train = train[: args.pairs]
    accelerator = start_accelerator("no") if int(os.environ.get("WORLD_SIZE", "1")) > 1 else None
    shares = Shares(accelerator)
    features = None
    if config.style_weight or config.content_weight:
        features = StyleAndContent.from_pretrained(args.network, args.weights, args.caffe)
    learner = MostNetLearner(features, config, accelerator.device if accelerator else None)
    watch = Watch(args.output, test[:20], args.judge_every) if shares.is_main else None
    end = time.monotonic() + 60 * args.minutes if args.minutes else float("inf")
    net = learner.learn(
        train,
        checkpoint=args.output / "state",
        checkpoint_every=args.checkpoint_every,
        callback=watch,
        stop=lambda: time.monotonic() > end,
        progress=shares.is_main,
        shares=shares,
    )
    if shares.is_main:
        conclude(net, test, args)
    if accelerator is not None:
        accelerator.end_training()
    return 0


def read_split(
    dataset: str, root: Path, style: str | None = None, test_share: float | None = None
) -> tuple[list[PhotoSketchPair], list[PhotoSketchPair]]:
    """Training and test pairs, by a hash or the data set's split, else by the prefixes train_ and test_, else all for both."""
    from oneshot_sketch.data import load_pairs, split_by_hash, to_pairs

    rows = load_pairs(dataset, root)
    if style is not None:
        rows = rows.select([i for i, one in enumerate(rows["style"]) if one == style])
    if test_share is not None:
        rows = split_by_hash(rows, test_share)
    pairs = list(to_pairs(rows))
    splits = [next((s for s in ("train", "test") if name.startswith(f"{s}_")), split) if split == "all" else split
              for name, split in zip(rows["identity"], rows["split"], strict=True)]  # fmt: skip
    train, test = (
        [pair for pair, split in zip(pairs, splits, strict=True) if split in (which, "all")] for which in ("train", "test")
    )
    if not train or not test:
        raise InputError(f"{root} has {len(train)} pairs to train on and {len(test)} to test; both are needed.")
    return train, test


@dataclass
class Watch:
    """Keeps curve.csv, judged.csv and sheet.png of a run."""

    folder: Path
    test: list[PhotoSketchPair]
    every: int

    def __call__(self, progress: MostNetProgress) -> None:
        if progress.step % self.every:
            return
        from oneshot_sketch.contact_sheet import contact_sheet
        from oneshot_sketch.images import save_png, to_tensor
        from oneshot_sketch.metrics import ssim

        drawn = draw(progress.net.eval(), self.test)
        progress.net.train()
        values = [float(ssim(to_tensor(d), to_tensor(pair.sketch))) for d, pair in zip(drawn, self.test, strict=True)]
        judged = [row for row in read_table(self.folder / "judged.csv") if int(row["step"]) < progress.step]
        write_table(self.folder / "judged.csv", [*judged, {"step": progress.step, "ssim": sum(values) / len(values)}])
        write_table(self.folder / "curve.csv", progress.curve)
        first = slice(0, 8)
        rows = {"photo": [pair.photo for pair in self.test[first]], f"step {progress.step}": drawn[first],
                "artist": [pair.sketch for pair in self.test[first]]}  # fmt: skip
        save_png(contact_sheet(rows), self.folder / "sheet.png")


def draw(net: MostNet, pairs: Sequence[PhotoSketchPair]) -> list[Any]:
    from oneshot_sketch.pipelines.most_net import MostNetPipeline

    pipe = MostNetPipeline(net)
    return pipe([pair.photo for pair in pairs], return_dict=False)[0]  # type: ignore[return-value]


def conclude(net: MostNet, test: Sequence[PhotoSketchPair], args: argparse.Namespace) -> None:
    """The pipeline, the drawn test photos, and scores.json: SSIM and FSIM, LPIPS and FID if their network was given."""
    from oneshot_sketch.atomic import replacing
    from oneshot_sketch.benchmark.measures import build_metric
    from oneshot_sketch.images import save_png, to_tensor
    from oneshot_sketch.pipelines.most_net import MostNetPipeline

    MostNetPipeline(net).save_pretrained(args.output / "pipeline")
    wanted: list[tuple[str, dict[str, Any]]] = [("ssim", {}), ("fsim", {})]
    if args.squeeze_lpips:
        network = {"weights": str(args.squeeze_lpips[0]), "heads": str(args.squeeze_lpips[1]), "caffe": True}
        wanted += [("lpips", {"net": "squeeze", **network}), ("fid", {"network": "squeeze", **network})]
    metrics = [build_metric(name, options) for name, options in wanted]
    for pair, sketch in zip(test, draw(net, test), strict=True):
        save_png(sketch, args.output / "drawn" / f"{pair.name}.png")
        for metric in metrics:
            metric.update(to_tensor(sketch), to_tensor(pair.sketch), to_tensor(pair.photo))
    scores = {score.name: score.value for score in (metric.compute() for metric in metrics)}
    with replacing(args.output / "scores.json") as part:
        part.write_text(json.dumps(scores, indent=2, ensure_ascii=False) + "\n")
    for name, value in scores.items():
        print(f"{value:.4f}  {name}")


def read_table(path: Path) -> list[dict[str, Any]]:
    return list(csv.DictReader(path.read_text().splitlines())) if path.is_file() else []


def write_table(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    from oneshot_sketch.atomic import replacing

    if not rows:
        return
    with replacing(path) as part, part.open("w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)


def main() -> int:
    try:
        return run(parse_args())
    except InputError as error:
        message = str(error)
    except KeyboardInterrupt:
        message = "stopped; run the same command again to go on from the last checkpoint."
    if os.environ.get("LOCAL_RANK", "0") == "0":
        print(f"train_most_net: {message}", file=sys.stderr, flush=True)
    return 2


if __name__ == "__main__":
    sys.exit(main())
