from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import picture
from small_most_net import config, features, pairs

from oneshot_sketch import InputError, PhotoSketchPair
from oneshot_sketch.images import grey, to_tensor
from oneshot_sketch.learners.draws import generator
from oneshot_sketch.learners.most_net import MostNetConfig, MostNetLearner, MostNetProgress
from oneshot_sketch.learners.shares import Shares
from oneshot_sketch.models.most_net import MostNet

pytestmark = pytest.mark.usefixtures("one_thread")


def learn(count: int = 3, given: dict[str, Any] | None = None, **changes: Any) -> MostNet:
    learner = MostNetLearner(features(), config(**changes), device="cpu")
    return learner.learn(pairs(count), progress=False, **(given or {}))


def same(a: MostNet, b: MostNet) -> bool:
    one, other = a.state_dict(), b.state_dict()
    return all(torch.equal(value, other[key]) for key, value in one.items())


def test_the_same_seed_gives_the_same_bytes_and_another_does_not() -> None:
    options = {"jitter": 0.2, "flip": True}
    first = learn(**options)
    assert same(first, learn(**options))
    assert not same(first, learn(**options, seed=1))


@pytest.mark.parametrize("options", [{}, {"mixed_precision": "bf16"}, {"memory_start": "noise", "assignment": "paired"}])
def test_a_stopped_run_goes_on_to_the_same_bytes(tmp_path: Path, options: dict[str, Any]) -> None:
    options |= {"steps": 7, "jitter": 0.2, "flip": True, "revive_after": 2, "decay_share": 0.5}
    seen: list[MostNetProgress] = []
    whole = learn(given={"callback": seen.append}, **options)
    steps = iter([False, False, True])
    learn(given={"checkpoint": tmp_path / "run", "checkpoint_every": 2, "stop": lambda: next(steps)}, **options)
    again: list[MostNetProgress] = []
    parts = learn(given={"checkpoint": tmp_path / "run", "callback": again.append}, **options)
    assert [one.step for one in again] == [4, 5, 6, 7]
    assert same(whole, parts)
    assert again[-1].curve == seen[-1].curve
    assert [point["step"] for point in seen[-1].curve] == [2, 4, 6]
    assert seen[-1].losses == again[-1].losses


def test_a_killed_run_goes_on_from_its_last_checkpoint(tmp_path: Path) -> None:
    def die(progress: MostNetProgress) -> None:
        if progress.step == 4:
            raise KeyboardInterrupt

    given = {"checkpoint": tmp_path / "run", "checkpoint_every": 3}
    with pytest.raises(KeyboardInterrupt):
        learn(given=given | {"callback": die}, steps=6)
    again: list[int] = []
    parts = learn(given=given | {"callback": lambda progress: again.append(progress.step)}, steps=6)
    assert again == [4, 5, 6]
    assert same(parts, learn(steps=6))


@pytest.mark.parametrize("change", ["config", "pairs", "features"])
def test_the_checkpoint_of_another_run_is_refused(tmp_path: Path, change: str) -> None:
    learn(given={"checkpoint": tmp_path})
    learner = MostNetLearner(features(unit=change != "features"), config(seed=change == "config"), device="cpu")
    with pytest.raises(InputError, match=f"{tmp_path} holds a run with another"):
        learner.learn(pairs(2 if change == "pairs" else 3), checkpoint=tmp_path, progress=False)


def test_the_curve_holds_means_and_the_losses_are_weighted_sums() -> None:
    seen: list[MostNetProgress] = []
    learn(given={"callback": seen.append})
    first, second = (one.losses for one in seen[:2])
    names = {"adversarial", "reconstruction", "style", "content", "memory", "discriminator", "entropy", "planted"}
    assert set(first) == names
    mean = {name: (first[name] + second[name]) / 2 for name in names}
    assert seen[-1].curve[0] == pytest.approx({"step": 2, **mean})


def test_two_pairs_are_learned_by_heart() -> None:
    losses: list[float] = []
    options = {"steps": 150, "width": 8, "generator_rate": 3e-3, "content_weight": 0.0}
    net = learn(2, {"callback": lambda progress: losses.append(progress.losses["reconstruction"])}, **options)
    assert sum(losses[-5:]) < 0.4 * sum(losses[:5])
    for pair in pairs(2):
        drawn = net(to_tensor(pair.photo.resize((32, 32))))
        truths = [grey(to_tensor(other.sketch.resize((32, 32)))) for other in pairs(2)]
        errors = [(drawn - truth).abs().mean() for truth in truths]
        own = int(pair.name)
        assert errors[own] < 0.5 * errors[1 - own]


@pytest.mark.parametrize("name", ["adversarial", "reconstruction", "style", "content", "memory"])
def test_every_weight_counts(name: str) -> None:
    assert not same(learn(steps=2), learn(steps=2, **{f"{name}_weight": 0.5}))


def test_only_the_refinement_loss_teaches_the_sketch_encoder() -> None:
    start = learn(steps=1).sketch_encoder.state_dict()
    alone = learn(steps=3, memory_weight=0.0).sketch_encoder.state_dict()
    taught = learn(steps=3).sketch_encoder.state_dict()
    fresh = MostNetLearner(features(), config(), device="cpu")._networks((32, 32))[0].sketch_encoder.state_dict()
    assert all(torch.equal(alone[key], fresh[key]) for key in fresh)
    assert not all(torch.equal(taught[key], start[key]) for key in start)


def test_every_pair_is_seen_once_a_pass_and_both_sides_are_cut_alike() -> None:
    learner = MostNetLearner(features(), config(batch=2, jitter=0.5, flip=True), device="cpu")
    data = learner._prepare([PhotoSketchPair(photo := picture(40, 40, seed), photo.convert("L")) for seed in range(5)])
    means = data.photos.mean((1, 2, 3))
    views = [learner._batch(data, step, generator(0, step), Shares()) for step in range(5)]
    assert {tuple(photo.shape) for photo, _, _ in views} == {(2, 3, 32, 32)}
    for photo, sketch, part in views:
        assert part == 1
        assert (grey(photo) - sketch).abs().max() < 0.02
    seen = torch.cat([photo for photo, _, _ in views])
    whole = MostNetLearner(features(), config(batch=2), device="cpu")
    plain = whole._prepare([PhotoSketchPair(photo := picture(40, 40, seed), photo.convert("L")) for seed in range(5)])
    order = [int((plain.photos - view).abs().mean((1, 2, 3)).argmin()) for step in range(5)
             for view in whole._batch(plain, step, generator(0, step), Shares())[0]]  # fmt: skip
    assert sorted(order[:5]) == sorted(order[5:]) == list(range(5))
    assert order[:5] != order[5:]
    assert len(seen) == 10 and len(means) == 5


def test_the_canvas_has_the_first_pairs_shape_or_is_square() -> None:
    assert learn(steps=1).config["canvas"] == (32, 32)
    assert learn(steps=1, square=False).config["canvas"] == (36, 28)  # 50 × 40, about 32² pixels


def test_losses_without_a_network_need_none() -> None:
    with pytest.raises(InputError, match="features"):
        MostNetLearner(None, config())
    plain = MostNetLearner(None, config(style_weight=0.0, content_weight=0.0), device="cpu")
    assert plain.learn(pairs(1)[0], progress=False).config["canvas"] == (32, 32)


@pytest.mark.parametrize(
    "changes",
    [
        {"steps": 0},
        {"betas": (0.5,)},
        {"decay_share": 2.0},
        {"memory_measure": "euclid"},
        {"size": 8},
        {"seed": -1},
        {"style_weight": -1.0},
        {"discriminator_rate": float("nan")},
    ],
)
def test_nonsense_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(changes))):
        MostNetConfig(**changes)


def test_no_pair_and_no_numbers_are_said() -> None:
    with pytest.raises(InputError, match="no pair"):
        MostNetLearner(features(), config()).learn([])
    with pytest.raises(InputError, match="lower learning rates"):
        learn(steps=40, generator_rate=1e30)


def test_the_defaults_are_the_papers() -> None:
    given = dataclasses.asdict(MostNetConfig())
    weights = [given[f"{name}_weight"] for name in ("adversarial", "reconstruction", "style", "content", "memory")]
    assert weights == [1, 200, 40, 40, 10]
    assert (given["memory_decay"], given["batch"], given["size"], given["assignment"]) == (0.999, 16, 256, "separate")
