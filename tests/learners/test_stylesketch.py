from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from conftest import SHARED
from tiny_stylegan import drawn_pairs, tiny_stylegan
from torch import Tensor, nn

from oneshot_sketch import InputError
from oneshot_sketch.images import open_image
from oneshot_sketch.learners.checkpoint import FILE, load_state
from oneshot_sketch.learners.stylesketch import PERCEPTUAL_LAYERS, StyleSketchLearner, StyleSketchState
from oneshot_sketch.learners.stylesketch_config import StyleSketchLearnerConfig
from oneshot_sketch.models.perceptual_features import NETWORKS, PerceptualFeatures
from oneshot_sketch.models.stylegan2 import StyleGAN2Generator
from oneshot_sketch.models.stylesketch import StyleSketchGenerator
from oneshot_sketch.pair import PhotoSketchPair

pytestmark = pytest.mark.usefixtures("one_thread")

QUICK = StyleSketchLearnerConfig(
    steps=4, batch=2, clip_weight=0, perceptual_side=None, width=8, discriminator_width=4, judge_every=2, r1_every=2
)
SQUEEZENET = SHARED / "weights" / "squeezenet1_1" / "squeezenet1_1_caffe_fp16_torchvision_names.pth"


@pytest.fixture(scope="module")
def stylegan() -> StyleGAN2Generator:
    return tiny_stylegan()


@pytest.fixture(scope="module")
def small(stylegan: StyleGAN2Generator) -> tuple[list[PhotoSketchPair], Tensor]:
    return drawn_pairs(stylegan, 3)


class MeanClip(nn.Module):
    """CLIP's one method that is asked, with colours and edges for features."""

    def encode_image(self, images: Tensor) -> Tensor:
        assert images.shape[1] == 3
        return torch.cat([images.mean((2, 3)), images.diff(dim=3).abs().mean((2, 3)) + 0.1], 1)


def perceptual() -> PerceptualFeatures:
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU(inplace=True), nn.Conv2d(4, 4, 3, 2, 1), nn.ReLU(inplace=True))
    return PerceptualFeatures("random", layers, {"first": 1, "second": 3})


def test_vgg16_is_heard_at_the_end_of_its_first_four_blocks() -> None:
    names = NETWORKS["vgg16"].layers
    assert PERCEPTUAL_LAYERS["vgg16"] == tuple(names[names.index(f"pool{block}") - 1] for block in (1, 2, 3, 4))


def learner(stylegan: StyleGAN2Generator, config: StyleSketchLearnerConfig = QUICK) -> StyleSketchLearner:
    return StyleSketchLearner(stylegan, config, perceptual=perceptual(), clip=MeanClip())  # type: ignore[arg-type]


@pytest.mark.parametrize("count", [1, 3])
def test_two_stages_from_any_number_of_pairs(
    count: int, stylegan: StyleGAN2Generator, small: tuple[list[PhotoSketchPair], Tensor], tmp_path: Path
) -> None:
    pairs, ws = small
    seen: list[StyleSketchState] = []
    config = replace(QUICK, stage_one=0.5, clip_weight=1.0)
    learned = learner(stylegan, config).learn(pairs[:count], ws[:count], callback=seen.append, progress=False)
    assert [state.stage for state in seen] == [1, 1, 2, 2]
    assert set(seen[0].losses) == {"l1", "adversarial", "clip", "perceptual", "parts", "discriminators", "r1"}
    assert "r1" not in seen[1].losses, "lazily"
    learned.save_pretrained(tmp_path / "hand")
    record = json.loads((tmp_path / "hand" / "record.json").read_text())
    assert record["pairs"] == [pair.name for pair in pairs[:count]]
    assert record["perceptual"] == "random"
    assert record["config"] == json.loads(json.dumps(asdict(config)))
    assert record["curve"]["step"] == [0, 2, 4]
    loaded = StyleSketchGenerator.from_pretrained(tmp_path / "hand")
    output = stylegan.synthesize(ws[:1])
    with torch.no_grad():
        assert torch.equal(loaded(output.features, output.image), learned.generator(output.features, output.image))


def test_stage_one_alone_counts_l1(stylegan: StyleGAN2Generator, small: tuple[list[PhotoSketchPair], Tensor]) -> None:
    ours = learner(stylegan)
    assert ours._weights(1)["l1"] == 80
    assert ours._weights(2)["l1"] == 0
    assert ours._weights(1) | {"l1": 0} == ours._weights(2)


@pytest.mark.parametrize(("silent", "view"), [(("full", "face"), "hair"), (("full", "hair"), "face")])
def test_each_region_is_judged_by_its_own_discriminator(
    silent: tuple[str, ...], view: str, stylegan: StyleGAN2Generator, small: tuple[list[PhotoSketchPair], Tensor]
) -> None:
    """With the others silenced, the adversarial gradient lies in that region, and is not nothing."""
    ours = learner(stylegan, replace(QUICK, perceptual_weight=0, part_weight=0))
    pairs, ws = small
    material = ours._material(pairs, ws)
    run = ours._start(pairs, ws, material)
    for name in silent:
        nn.init.zeros_(run.discriminators[name].layers[-1].weight)  # type: ignore[union-attr, index]
    batch = material.batch(torch.arange(3), torch.device("cpu"))
    drawn = torch.rand(3, 1, 32, 32, generator=torch.Generator().manual_seed(0)).requires_grad_()
    terms = ours._generator_terms(run, batch, drawn, ours._moves(run, 3))
    (slope,) = torch.autograd.grad(terms["adversarial"], drawn)
    inside = getattr(batch.regions, view)
    assert (slope * (1 - inside)).abs().max() == 0
    assert (slope * inside).abs().max() > 0


def test_photo_prediction_and_target_move_together(
    stylegan: StyleGAN2Generator, small: tuple[list[PhotoSketchPair], Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every call for a step uses the same transforms, one a sample."""
    import oneshot_sketch.learners.stylesketch as module

    used: list[Tensor] = []
    moved = module.transformed
    monkeypatch.setattr(module, "transformed", lambda image, moves: used.append(moves) or moved(image, moves))
    pairs, ws = small
    ours = learner(stylegan, replace(QUICK, perceptual_weight=0, part_weight=0))
    material = ours._material(pairs, ws)
    run = ours._start(pairs, ws, material)
    run.augmentation.value = 0.6
    batch = material.batch(torch.arange(3), torch.device("cpu"))
    moves = ours._moves(run, 3)
    ours._generator_terms(run, batch, torch.rand(3, 1, 32, 32), moves)
    ours._update_discriminators(run, batch, torch.rand(3, 1, 32, 32), moves)
    assert len(used) == 3 * 2 + 3 * 3
    assert all(torch.equal(used[0], other) for other in used)
    assert len(used[0].flatten(1).unique(dim=0)) == 3
    assert torch.equal(moves, ours._moves(run, 3)), "a function of seed and step"


def test_features_come_from_constant_noise(stylegan: StyleGAN2Generator, small: tuple[list[PhotoSketchPair], Tensor]) -> None:
    noisy = tiny_stylegan()
    for name, strength in noisy.named_parameters():
        if name.endswith("noise_strength"):
            strength.data.fill_(0.5)
    first, second = (learner(noisy)._material(*small).features for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    plain = learner(stylegan)._material(*small).features
    assert not torch.equal(first[-1], plain[-1]), "there is noise"


def test_every_pair_once_before_any_twice(stylegan: StyleGAN2Generator) -> None:
    ours = learner(stylegan, replace(QUICK, batch=3))
    rows = torch.cat([ours._rows(step, 4) for step in range(8)]).view(6, 4)
    assert all(sorted(row.tolist()) == [0, 1, 2, 3] for row in rows)
    assert len(rows.unique(dim=0)) > 1


def test_broken_off_and_taken_up_again_it_gives_the_same_bytes(
    stylegan: StyleGAN2Generator, small: tuple[list[PhotoSketchPair], Tensor], tmp_path: Path
) -> None:
    """State and artefact alike, with augmentation on its way and running statistics."""
    pairs, ws = small
    config = replace(QUICK, steps=6, augment_ramp=200, augment_target=0.0, r1_every=4)

    def breaking(state: StyleSketchState) -> None:
        if state.step == 5:
            raise KeyboardInterrupt

    learner(stylegan, config).learn(pairs, ws, checkpoint=tmp_path / "whole", progress=False).save_pretrained(tmp_path / "a")
    with pytest.raises(KeyboardInterrupt):
        learner(stylegan, config).learn(pairs, ws, checkpoint=tmp_path / "broken", callback=breaking, progress=False)
    state = load_state(tmp_path / "broken")
    assert state is not None
    assert state[1]["step"] == 4
    learner(stylegan, config).learn(pairs, ws, checkpoint=tmp_path / "broken", progress=False).save_pretrained(tmp_path / "b")
    assert (tmp_path / "whole" / FILE).read_bytes() == (tmp_path / "broken" / FILE).read_bytes()
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert names == ["config.json", "diffusion_pytorch_model.safetensors", "record.json"]
    assert all((tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes() for name in names)


def test_a_run_of_other_pairs_or_settings_is_not_gone_on_with(
    stylegan: StyleGAN2Generator, small: tuple[list[PhotoSketchPair], Tensor], tmp_path: Path
) -> None:
    pairs, ws = small
    learner(stylegan).learn(pairs, ws, checkpoint=tmp_path, progress=False)
    before = (tmp_path / FILE).read_bytes()
    with pytest.raises(InputError, match="another config"):
        learner(stylegan, replace(QUICK, seed=1)).learn(pairs, ws, checkpoint=tmp_path, progress=False)
    with pytest.raises(InputError, match="another pictures"):
        learner(stylegan).learn(pairs, ws.flip(0), checkpoint=tmp_path, progress=False)
    with pytest.raises(InputError, match="another stylegan"):
        learner(tiny_stylegan(seed=1)).learn(pairs, ws, checkpoint=tmp_path, progress=False)
    assert (tmp_path / FILE).read_bytes() == before


def test_photos_are_inverted_by_what_is_given(stylegan: StyleGAN2Generator, small: tuple[list[PhotoSketchPair], Tensor]) -> None:
    pairs, ws = small

    def invert(generator: StyleGAN2Generator, photos: Tensor) -> SimpleNamespace:
        assert generator is stylegan
        assert photos.shape == (3, 3, 32, 32)
        return SimpleNamespace(ws=ws, error=torch.tensor([0.125, 0.25, 0.5]))

    found = StyleSketchLearner(stylegan, replace(QUICK, steps=1), perceptual=perceptual(), invert=invert).learn(
        pairs, progress=False
    )
    given = learner(stylegan, replace(QUICK, steps=1)).learn(pairs, ws, progress=False)
    assert found.record.inversion_errors == (0.125, 0.25, 0.5)
    assert torch.equal(found.generator.Conv_1x1.weight, given.generator.Conv_1x1.weight)


def test_unusable_input_is_one_sentence(stylegan: StyleGAN2Generator, small: tuple[list[PhotoSketchPair], Tensor]) -> None:
    pairs, ws = small
    for wrong in (ws[:2], ws[:, :3], ws * float("nan")):
        with pytest.raises(InputError, match="latents are"):
            learner(stylegan).learn(pairs, wrong, progress=False)
    with pytest.raises(InputError, match="no pair"):
        learner(stylegan).learn([], ws, progress=False)


@pytest.mark.parametrize(
    ("name", "value"),
    [("steps", 0), ("learning_rate", float("nan")), ("r1_gamma", -1.0), ("stage_one", 1.5), ("part_side", 0.0), ("norm", "layer"),
     ("clip_loss", "text"), ("precision", "float16"), ("seed", 2**32)],
)  # fmt: skip
def test_settings_out_of_range_are_named(name: str, value: object) -> None:
    with pytest.raises(InputError, match=f"{name} is"):
        StyleSketchLearnerConfig(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "given", [{"norm": "group"}, {"precision": "bfloat16"}, {"clip_loss": "directional", "clip_weight": 1.0}]
)
def test_the_other_settings_train_too(
    given: dict[str, object], stylegan: StyleGAN2Generator, small: tuple[list[PhotoSketchPair], Tensor]
) -> None:
    learned = learner(stylegan, replace(QUICK, steps=2, **given)).learn(*small, progress=False)  # type: ignore[arg-type]
    assert all(value.isfinite().all() for value in learned.generator.state_dict().values() if value.is_floating_point())
    assert learned.record.curve["l1"][0] != learned.record.curve["l1"][-1]


def test_few_pairs_are_learned_by_heart(stylegan: StyleGAN2Generator) -> None:
    config = StyleSketchLearnerConfig(
        steps=160, stage_one=1.0, learning_rate=5e-3, adversarial_weight=0, clip_weight=0, perceptual_weight=0, part_weight=0
    )
    pairs, ws = drawn_pairs(stylegan, 4)
    learned = StyleSketchLearner(stylegan, config).learn(pairs, ws, progress=False)
    first, *_, last = learned.record.curve["l1"]
    assert first > 0.3
    assert last < 0.05


KILLED = """
import sys; sys.path.insert(0, {tests!r})
import torch; torch.set_num_threads(1)
from learners.test_stylesketch import *
stylegan = tiny_stylegan()
learner(stylegan, replace(QUICK, steps={steps})).learn(*drawn_pairs(stylegan, 3), checkpoint={folder!r}, progress=False)
"""


@pytest.mark.slow
def test_killed_and_taken_up_again_it_gives_the_same_bytes(tmp_path: Path) -> None:
    def program(folder: Path) -> list[str]:
        return [sys.executable, "-c", KILLED.format(tests=str(Path(__file__).parents[1]), steps=60, folder=str(folder))]

    broken, whole = tmp_path / "broken" / FILE, tmp_path / "whole" / FILE
    process = subprocess.Popen(program(broken.parent))
    while not broken.is_file() and process.poll() is None:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    state = load_state(broken.parent)
    assert state is not None
    assert 0 < state[1]["step"] < 60
    for folder in (broken.parent, whole.parent):
        subprocess.run(program(folder), check=True)
    assert broken.read_bytes() == whole.read_bytes()


@pytest.mark.slow
@pytest.mark.skipif(not SQUEEZENET.is_file(), reason="needs shared data")
def test_sixteen_real_pairs_are_learned_by_heart_in_both_stages(tmp_path: Path) -> None:
    """L1 below 0.05 after the adversarial stage, on CUFS sketches and a random StyleGAN's faces."""
    stylegan = tiny_stylegan(64)
    pairs, ws = drawn_pairs(stylegan, 16)
    sketches = sorted((SHARED / "cufs" / "cuhk_student" / "sketch").glob("train_*"))[:16]
    from oneshot_sketch.images import square

    pairs = [PhotoSketchPair(p.photo, square(open_image(s), 64), name=p.name) for p, s in zip(pairs, sketches, strict=True)]
    learned = StyleSketchLearner(stylegan, SIXTEEN).learn(pairs, ws, progress=False)
    assert learned.record.curve["l1"][-1] < 0.05


SIXTEEN = StyleSketchLearnerConfig(
    steps=400, stage_one=0.75, learning_rate=3e-3, clip_weight=0, discriminator_width=8, perceptual="squeezenet",
    perceptual_weights=str(SQUEEZENET), perceptual_caffe=True, perceptual_side=64, judge_every=100,
)  # fmt: skip
