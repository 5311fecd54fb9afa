from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import picture
from PIL import Image
from torch.nn import functional as F
from torchvision.models import squeezenet1_1

from oneshot_sketch import InputError, PhotoSketchPair
from oneshot_sketch.learners.ide import PERCEPTUAL_LAYER, IDELearner, IDEStep, perceptual_features
from oneshot_sketch.learners.ide_config import IDELearnerConfig
from oneshot_sketch.learners.ide_material import IDEMaterial, crops, fit_field, prepare
from oneshot_sketch.models.perceptual_features import NETWORKS

pytestmark = pytest.mark.usefixtures("one_thread")

FIELD = {"patch": 8, "step": 4, "search": 4, "candidates": 3, "sweeps": 5}
CONFIG = IDELearnerConfig(
    field=FIELD,
    coarse_scale=0.5,
    channels=8,
    num_fams=1,
    discriminator_channels=4,
    perceptual_weight=0.0,
    steps=6,
    batch=2,
    crop=32,
    save_every=2,
    milestones=(4,),
)


def pairs(count: int = 3) -> list[PhotoSketchPair]:
    return [PhotoSketchPair(picture(40, 48, i), picture(40, 48, 100 + i), f"p{i}") for i in range(count)]


def weights(learned: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {key: value.clone() for key, value in learned.state_dict().items()}


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


class Stop(Exception):
    pass


@pytest.mark.parametrize("stop_after", [2, 3])
def test_a_killed_run_goes_on_to_the_same_bytes(tmp_path: Path, stop_after: int) -> None:
    whole = IDELearner(CONFIG).learn(pairs(), folder=tmp_path / "whole", progress=False)

    def stop(step: IDEStep) -> None:
        if step.step == stop_after + 1:
            raise Stop

    with pytest.raises(Stop):
        IDELearner(CONFIG).learn(pairs(), folder=tmp_path / "broken", callback=stop, progress=False)
    seen: list[int] = []
    again = IDELearner(CONFIG).learn(
        pairs(), folder=tmp_path / "broken", callback=lambda step: seen.append(step.step), progress=False
    )
    assert seen == [3, 4, 5, 6]
    assert same(weights(whole.enhancer), weights(again.enhancer))
    assert whole.curve == again.curve and [row["step"] for row in whole.curve] == [2, 4, 6]
    states = [(tmp_path / name / "state" / "state.safetensors").read_bytes() for name in ("whole", "broken")]
    assert states[0] == states[1]


def test_a_run_may_be_made_longer_but_not_another(tmp_path: Path) -> None:
    whole = IDELearner(CONFIG).learn(pairs(), progress=False)
    IDELearner(replace(CONFIG, steps=4)).learn(pairs(), folder=tmp_path, progress=False)
    longer = IDELearner(CONFIG).learn(pairs(), folder=tmp_path, progress=False)
    assert same(weights(whole.enhancer), weights(longer.enhancer))
    with pytest.raises(InputError, match="another run|other config"):
        IDELearner(replace(CONFIG, learning_rate=1e-3)).learn(pairs(), folder=tmp_path, progress=False)
    with pytest.raises(InputError, match="other pictures"):
        IDELearner(CONFIG).learn(pairs(2), folder=tmp_path, progress=False)


def test_another_seed_is_another_run() -> None:
    runs = [IDELearner(replace(CONFIG, seed=seed)).learn(pairs(), progress=False) for seed in (0, 0, 1)]
    assert same(weights(runs[0].enhancer), weights(runs[1].enhancer))
    assert not same(weights(runs[0].enhancer), weights(runs[2].enhancer))


def test_the_rate_is_halved_at_the_milestones() -> None:
    """Adam's first steps have the size of the rate, so parameters tell it."""
    moved = []
    for milestones in ((), (0,), (0, 0)):
        config = replace(CONFIG, steps=1, milestones=milestones)
        start = IDELearner(replace(config, learning_rate=1e-12)).learn(pairs(), progress=False)
        end = IDELearner(config).learn(pairs(), progress=False)
        moved.append(float((end.enhancer.tail_scale - start.enhancer.tail_scale).detach().abs().mean()))
    assert moved == pytest.approx([1e-4, 5e-5, 2.5e-5], rel=1e-2)


def test_it_learns_the_strokes_of_one_pair() -> None:
    """A grain of single pixels, which the halved coarse sketch cannot hold."""
    grain = 40 * (np.indices((48, 40)).sum(0) % 2 * 2 - 1)
    sketch = np.asarray(picture(40, 48, 100).convert("L"), np.float32) * 0.6 + 50 + grain
    pair = PhotoSketchPair(picture(40, 48, 0), Image.fromarray(sketch.astype(np.uint8)))
    seen: list[float] = []
    config = replace(CONFIG, steps=80, learning_rate=3e-3, pixel_weight=1.0, adversarial_weight=0.0, flip=0.0, milestones=())
    IDELearner(config).learn(pair, callback=lambda step: seen.append(step.losses["pixel"]), progress=False)
    assert sum(seen[-5:]) < 0.5 * sum(seen[:5])


def test_the_papers_layer_is_the_last_convolution_of_vgg19() -> None:
    assert PERCEPTUAL_LAYER["vgg19"] == [layer for layer in NETWORKS["vgg19"].layers if layer.startswith("conv")][-1]


def test_all_losses_take_part(tmp_path: Path) -> None:
    torch.save(squeezenet1_1(weights=None).state_dict(), tmp_path / "squeezenet.pth")
    features = perceptual_features("squeezenet", tmp_path / "squeezenet.pth", caffe=True)
    config = replace(CONFIG, steps=1, perceptual_weight=1.0, precision="bfloat16")
    learned = IDELearner(config, features).learn(pairs(), progress=False)
    assert set(learned.curve[0]) == {"step", "pixel", "perceptual", "adversarial", "discriminator"}
    assert learned.features == "SqueezeNet 1.1, Caffe weights, fire9"
    without = IDELearner(replace(config, perceptual_weight=0.0)).learn(pairs(), progress=False)
    assert not same(weights(learned.enhancer), weights(without.enhancer))


def test_the_first_losses_by_hand(tmp_path: Path) -> None:
    torch.save(squeezenet1_1(weights=None).state_dict(), tmp_path / "squeezenet.pth")
    features = perceptual_features("squeezenet", tmp_path / "squeezenet.pth")
    config, seen = replace(CONFIG, steps=1, perceptual_weight=1.0), []
    learner = IDELearner(config, features)
    learner.learn(pairs(), callback=seen.append, progress=False)
    material = prepare(pairs(), fit_field(pairs(), config), config, None, progress=False)
    enhancer, discriminator = learner._start(material).networks.values()
    coarse, artist = crops(material, config, 0)
    fine = enhancer(coarse)
    verdict = discriminator(fine)
    expected = {
        "pixel": (fine - artist).abs().mean(),
        "perceptual": (features(fine)[0] - features(artist)[0]).abs().mean(),
        "adversarial": F.binary_cross_entropy(verdict.sigmoid(), torch.ones_like(verdict)),
    }
    losses = {name: seen[0].losses[name] for name in expected}
    assert losses == pytest.approx({name: value.item() for name, value in expected.items()}, rel=1e-4)


def test_coarse_sketches_never_saw_their_own_pair() -> None:
    config = replace(CONFIG, coarse_scale=1.0)
    field = fit_field(pairs(), config)
    material = prepare(pairs(), field, config, None, progress=False)
    assert material.coarse.shape == (3, 1, 48, 40) and material.artist.shape == (3, 1, 96, 80)
    own = F.interpolate(material.artist, scale_factor=0.5, mode="area")
    assert ((material.coarse - own).abs().mean((1, 2, 3)) > 0.05).all()


def test_coarse_sketches_are_drawn_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    field = fit_field(pairs(), CONFIG)
    first = prepare(pairs(), field, CONFIG, tmp_path, progress=False)
    (tmp_path / "00001.png").write_bytes(b"damaged")
    drawn: list[int] = []
    forward = type(field).forward
    monkeypatch.setattr(
        type(field), "forward", lambda self, p, leave_out: drawn.append(*leave_out) or forward(self, p, leave_out)
    )
    field.register_to_config(_use_default_values=["in", "an", "order", "of", "its", "own"])  # as in another process
    again = prepare(pairs(), field, CONFIG, tmp_path, progress=False)
    assert drawn == [1] and again.digest == first.digest
    prepare(pairs(), fit_field(pairs(), replace(CONFIG, field={**FIELD, "beta": 1.0})), CONFIG, tmp_path, progress=False)
    assert drawn == [1, 0, 1, 2]


def test_crops_show_the_same_place_however_they_are_turned() -> None:
    artist = torch.rand(2, 1, 60, 52)
    material = IDEMaterial(F.avg_pool2d(artist, 2), artist, "")
    config = replace(CONFIG, batch=32, flip=0.5, vertical_flip=0.5, transpose=0.5)
    coarse, fine = crops(material, config, 7)
    assert coarse.shape == (32, 3, 16, 16) and fine.shape == (32, 3, 32, 32)
    assert torch.allclose(F.avg_pool2d(fine, 2), coarse, atol=1e-6)
    again, other = crops(material, config, 7)[0], crops(material, config, 8)[0]
    assert torch.equal(coarse, again) and not torch.equal(coarse, other)
    plain = crops(material, replace(config, flip=0.0, vertical_flip=0.0, transpose=0.0), 7)[0]
    turned = sum(not torch.equal(a, b) for a, b in zip(coarse, plain, strict=True))
    assert 20 <= turned < 32


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"batch": 1.5}, "batch is 1.5; it must be a whole number"),
        ({"learning_rate": "fast"}, "learning_rate is 'fast'; it must be a number"),
        ({"crop": 48}, "crop must be a multiple of 32"),
        ({"crop": 64}, "lower crop"),
        ({"discriminator": "patch"}, "choose one of modified_vgg, srgan"),
        ({"pixel_weight": 0.0, "adversarial_weight": 0.0}, "all weights of the loss are 0"),
        ({"flip": 2.0}, "from 0 to 1"),
        ({"size": (100, 40)}, r"not of the shape 100×40"),
        ({"field": {"steps": 3}}, "'steps' is no setting of a patch field"),
        ({"perceptual_weight": 1.0}, "needs features"),
    ],
)
def test_bad_input(change: dict[str, object], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        IDELearner(replace(CONFIG, **change)).learn(pairs(), progress=False)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="there is no pair"):
        IDELearner(CONFIG).learn([], progress=False)
