"""The recipe as people start it: on real pairs, on pairs without limit, gone on with, and given unusable input."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from on_disk import contents, put_pair
from tiny_stylegan import drawn_face, tiny_stylegan
from torchvision.models import squeezenet1_1

from oneshot_sketch.learners.picture_that_sketch_data import KeptPairs, PseudoPairs
from oneshot_sketch.models.fine_grained_embedding import FineGrainedEmbedding
from oneshot_sketch.models.stylesketch import StyleSketchGenerator
from oneshot_sketch.pipelines.picture_that_sketch import PictureThatSketchPipeline

PATH = Path(__file__).parents[1] / "recipes" / "train_picture_that_sketch.py"
spec = importlib.util.spec_from_file_location("train_picture_that_sketch", PATH)
assert spec
assert spec.loader
recipe = importlib.util.module_from_spec(spec)
sys.modules["train_picture_that_sketch"] = recipe
spec.loader.exec_module(recipe)

Train = Callable[..., int]
pytestmark = pytest.mark.usefixtures("one_thread")
NETWORK = "--backbone small --input_size 32 --widths 8 8 16 --units 1"
SMALL = f"{NETWORK} {NETWORK.replace('--', '--embedding_')} --hidden 16 --embedding_dim 8 --steps 3 --teacher_steps 2 "
SMALL += (
    "--embedding_steps 2 --batch 2 --embedding_batch 2 --log_every 1 --embedding_log_every 1 --checkpoint_every 1 --device cpu"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recipe")
    generator = tiny_stylegan()
    generator.save_pretrained(folder / "generator")
    torch.manual_seed(0)
    StyleSketchGenerator.for_stylegan(generator, width=16).save_pretrained(folder / "sketches")
    StyleSketchGenerator.for_stylegan(tiny_stylegan(seed=1), width=16).save_pretrained(folder / "others")
    for seed in range(3):
        put_pair(folder / "pairs", seed, f"face {seed}")
    torch.save(squeezenet1_1(weights=None).state_dict(), folder / "squeeze.pth")
    heads = {f"lin{i}.model.1.weight": torch.ones(1, c, 1, 1) for i, c in enumerate((64, 128, 256, 384, 384, 512, 512))}
    torch.save(heads, folder / "heads.pth")
    return folder


@pytest.fixture
def train(folder: Path, tmp_path: Path) -> Train:
    def run(output: str, *more: str) -> int:
        words = ["--generator", str(folder / "generator"), "--output", str(tmp_path / output), *SMALL.split()]
        words += ["--squeeze_lpips", str(folder / "squeeze.pth"), str(folder / "heads.pth")]
        return recipe.main([*words, *more])

    return run


def test_from_real_pairs_it_leaves_all_three_networks(train: Train, folder: Path, tmp_path: Path) -> None:
    assert train("run", "--pairs", str(folder / "pairs"), "--whole") == 0
    curves = json.loads((tmp_path / "run" / "curves.json").read_text())
    assert {name: len(curve) for name, curve in curves.items()} == {"embedding": 2, "teacher": 2, "mapper": 3}
    assert set(curves["mapper"][0]) == {"step", "pixel", "perceptual", "discriminative", "distillation"}
    pipe = PictureThatSketchPipeline.from_pretrained(tmp_path / "run" / "pipeline")
    drawn = pipe(drawn_face(0), num_images=2, reference=drawn_face(1)).images
    assert [image.size for image in drawn] == [(32, 32)] * 2
    assert FineGrainedEmbedding.from_pretrained(tmp_path / "run" / "embedding").config["dim"] == 8


@pytest.mark.parametrize("sketches", ["sketches", "xdog"])
def test_from_pairs_without_limit_no_teacher_is_needed(train: Train, folder: Path, tmp_path: Path, sketches: str) -> None:
    name = sketches if sketches == "xdog" else str(folder / sketches)
    assert train("run", "--sketch_generator", name, "--whole", "--discriminative_weight", "0") == 0
    assert set(json.loads((tmp_path / "run" / "curves.json").read_text())) == {"mapper"}
    pipe = PictureThatSketchPipeline.from_pretrained(tmp_path / "run" / "pipeline")
    assert pipe.teacher is None and not (tmp_path / "run" / "embedding").exists()
    assert not np.array_equal(*(np.asarray(pipe(drawn_face(0), seed=seed).images[0]) for seed in (0, 1)))


def test_from_kept_pairs_as_from_the_pairs_themselves(train: Train, folder: Path, tmp_path: Path) -> None:
    KeptPairs.keep([PseudoPairs(tiny_stylegan(), lambda photos: photos[:, :1].sign(), 6)], tmp_path / "kept.safetensors")
    more = ("--kept", str(tmp_path / "kept.safetensors"), "--whole", "--latent_steps", "2", "--latent_batch", "3")
    assert train("kept", *more) == 0
    curves = json.loads((tmp_path / "kept" / "curves.json").read_text())
    assert {name: len(curve) for name, curve in curves.items()} == {"embedding": 2, "latents": 2, "mapper": 3}
    (tmp_path / "kept.safetensors").write_bytes(b"no tensors")
    assert train("other", *more) == 2


def test_the_embedding_alone(train: Train, folder: Path, tmp_path: Path) -> None:
    assert train("judge", "--pairs", str(folder / "pairs"), "--embedding_only", "--embedding_seed", "5") == 0
    assert FineGrainedEmbedding.from_pretrained(tmp_path / "judge" / "embedding").config["dim"] == 8
    assert set(json.loads((tmp_path / "judge" / "curves.json").read_text())) == {"embedding"}
    assert not (tmp_path / "judge" / "pipeline").exists()


def test_unfinished_sketches_are_the_default(train: Train, tmp_path: Path) -> None:
    pytest.importorskip("oneshot_sketch.partial_sketches")
    assert train("parts", "--sketch_generator", "xdog", "--discriminative_weight", "0") == 0
    assert train("whole", "--sketch_generator", "xdog", "--discriminative_weight", "0", "--whole") == 0
    first, second = (json.loads((tmp_path / run / "curves.json").read_text()) for run in ("parts", "whole"))
    assert first != second


def test_run_again_it_goes_on_and_leaves_the_same_bytes(train: Train, folder: Path, tmp_path: Path) -> None:
    more = ("--pairs", str(folder / "pairs"), "--whole", "--take", "2")
    assert train("whole", *more) == 0
    before = contents(tmp_path / "whole")
    for stage in ("teacher", "mapper"):
        (tmp_path / "whole" / "state" / stage / "state.safetensors").unlink()
    assert train("whole", *more) == 0
    assert contents(tmp_path / "whole") == before


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ([], "--pairs --kept --sketch_generator is required"),
        (["--pairs", "nowhere"], "nowhere does not exist"),
        (["--pairs", "nowhere", "--steps", "many"], "--steps"),
        (["--pairs", "nowhere", "--take", "0"], "--take is 0"),
        (["--sketch_generator", "no/such/folder"], "no/such/folder could not be loaded as a StyleSketchGenerator"),
        (
            ["--sketch_generator", "xdog", "--generator", "no/such/folder"],
            "no/such/folder could not be loaded as a StyleGAN2Generator",
        ),
        (["--sketch_generator", "{folder}/others"], "draws another generator's faces"),
        (["--kept", "nowhere.safetensors"], "nowhere.safetensors holds no kept pairs"),
        (["--sketch_generator", "xdog", "--truncation", "2"], "truncation is 2.0"),
        (["--sketch_generator", "xdog", "--max_predicted", "9", "--discriminative_weight", "0"], "max_predicted is 9"),
        (["--sketch_generator", "xdog", "--squeeze_lpips", "no.pth", "no.pth"], "no.pth does not exist"),
    ],
)
def test_unusable_input_is_one_sentence(
    train: Train, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], message: str
) -> None:
    assert train("bad", "--whole", *(word.format(folder=folder) for word in more)) == 2
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1, said
    assert not (tmp_path / "bad").exists()
