from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import picture
from small_picture_that_sketch import EMBEDDING, config, four, invented, learner, stylegan
from torch import Tensor, nn

from oneshot_sketch import InputError, PhotoSketchPair
from oneshot_sketch.learners import picture_that_sketch
from oneshot_sketch.learners.picture_that_sketch import PictureThatSketchLearner
from oneshot_sketch.learners.picture_that_sketch_data import RealPairs
from oneshot_sketch.learners.stage import Stage
from oneshot_sketch.losses.distillation import distillation_loss
from oneshot_sketch.models.inversion import laplacian_distance
from oneshot_sketch.models.inversion_encoder import InversionEncoder
from oneshot_sketch.models.picture_that_sketch import ParallelMapper, filled

pytestmark = pytest.mark.usefixtures("one_thread")


def weights(network: nn.Module | None) -> dict[str, Tensor]:
    assert network is not None
    return {key: value.clone() for key, value in network.state_dict().items()}


def same(a: nn.Module | None, b: nn.Module | None) -> bool:
    one, other = weights(a), weights(b)
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def learn(data: Any = None, given: dict[str, Any] | None = None, more: dict[str, Any] | None = None, **changes: Any) -> Any:
    return learner(given, **changes).learn(data or invented(), progress=False, **(more or {}))


def test_the_stages_come_in_order_and_the_same_seed_gives_the_same_bytes() -> None:
    seen: list[tuple[str, int]] = []
    first = learn(four(False), more={"callback": lambda stage: seen.append((stage.name, stage.run.step))})
    assert [name for name, _ in seen] == ["embedding"] * 3 + ["teacher"] * 4 + ["mapper"] * 5
    assert {name: [point["step"] for point in curve] for name, curve in first.curves.items()} == {
        "embedding": [2],
        "teacher": [2, 4],
        "mapper": [2, 4],
    }
    again = learn(four(False))
    assert all(same(getattr(first, name), getattr(again, name)) for name in ("embedding", "teacher", "mapper"))
    assert not same(first.mapper, learn(four(False), seed=1).mapper)


def test_known_latents_need_no_teacher_and_teach() -> None:
    plain = learn(four(), distillation_weight=0.6)
    assert plain.teacher is None and set(plain.curves["mapper"][0]) == {
        "step", "pixel", "perceptual", "discriminative", "distillation"
    }  # fmt: skip
    assert not same(plain.mapper, learn(four(), distillation_weight=0.0).mapper)


@pytest.mark.parametrize("at", [("embedding", 2), ("teacher", 3), ("mapper", 3)])
def test_a_killed_run_goes_on_to_the_same_bytes(tmp_path: Path, at: tuple[str, int]) -> None:
    whole = learn(four(False), more={"folder": tmp_path / "whole", "checkpoint_every": 2})

    def die(stage: Stage[Any]) -> None:
        if (stage.name, stage.run.step) == at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        learn(four(False), more={"folder": tmp_path / "parts", "checkpoint_every": 2, "callback": die})
    seen: list[tuple[str, int]] = []
    more = {
        "folder": tmp_path / "parts",
        "checkpoint_every": 2,
        "callback": lambda stage: seen.append((stage.name, stage.run.step)),
    }
    parts = learn(four(False), more=more)
    assert seen[0] == (at[0], at[1] if at[1] % 2 else at[1] - 1)
    assert all(same(getattr(whole, name), getattr(parts, name)) for name in ("embedding", "teacher", "mapper"))
    assert whole.curves == parts.curves
    for name in ("embedding", "teacher", "mapper"):
        files = [tmp_path / run / name / "state.safetensors" for run in ("whole", "parts")]
        assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.parametrize(
    ("given", "changes", "message"),
    [
        ({}, {"seed": 1}, "settings"),
        ({"perceptual": nn.PairwiseDistance()}, {}, "perceptual"),
        ({"partial": None}, {}, "partial"),
    ],
)
def test_the_state_of_another_run_is_refused(
    tmp_path: Path, given: dict[str, Any], changes: dict[str, Any], message: str
) -> None:
    learn(more={"folder": tmp_path})
    with pytest.raises(InputError, match=f"another {message}"):
        learn(given=given, more={"folder": tmp_path}, **changes)
    with pytest.raises(InputError, match="another data"):
        learn(invented(30), more={"folder": tmp_path})


def test_frozen_networks_are_neither_moved_nor_given_gradients() -> None:
    torch.manual_seed(0)
    encoder = InversionEncoder.small_for(stylegan(), (4, 4, 4, 4), (1, 1, 1, 1), 8)
    trained = learn(steps=1).embedding
    one = learner({"embedding": trained, "teacher": encoder})
    frozen = [one.generator, trained, encoder]
    before = [weights(network) for network in frozen]
    moving: list[bool] = []

    def watch(stage: Stage[Any]) -> None:
        moving.append(any(p.grad is not None and bool(p.grad.any()) for p in stage.network.parameters()))

    learned = one.learn(four(False), progress=False, callback=watch)
    assert learned.embedding is trained and learned.teacher is encoder and list(learned.curves) == ["mapper"]
    assert moving == [True] * 5
    for network, old in zip(frozen, before, strict=True):
        assert all(p.grad is None and not p.requires_grad for p in network.parameters())
        assert all(torch.equal(value, old[key]) for key, value in network.state_dict().items())


def test_the_mapper_hears_every_loss_through_the_frozen_networks() -> None:
    """Each loss alone moves it, the embedding's and the generator's included."""
    start = config().fresh_mapper(stylegan())
    for name in ("pixel", "perceptual", "discriminative", "distillation"):
        others = {f"{other}_weight": 0.0 for other in ("pixel", "perceptual", "discriminative", "distillation") if other != name}
        learned = learn(steps=1, ema_decay=0.0, **others)
        assert list(learned.curves) == (["embedding", "mapper"] if name == "discriminative" else ["mapper"])
        assert not same(learned.mapper, start), name


def test_own_tail_for_likeness_random_tail_for_the_embedding_and_counts_for_distillation(monkeypatch: pytest.MonkeyPatch) -> None:
    tails: list[tuple[Tensor, Tensor, Tensor]] = []
    compared: list[Tensor] = []

    def noted(predicted: Tensor, tail: Tensor, counts: Tensor) -> Tensor:
        tails.append((predicted, tail, counts))
        return filled(predicted, tail, counts)

    def distilled(predicted: Tensor, target: Tensor, counts: Tensor) -> Tensor:
        compared.append(counts)
        return distillation_loss(predicted, target, counts)

    monkeypatch.setattr(picture_that_sketch, "filled", noted)
    monkeypatch.setattr(picture_that_sketch, "distillation_loss", distilled)
    one, calls = learner(steps=8, batch=4, truncation=0.0), []
    one.generator.synthesis.register_forward_pre_hook(lambda *_: calls.append(1))
    data = four()
    truths = torch.stack([ws for _, _, ws in data])
    one.learn(data, progress=False)
    seen = torch.cat(compared)
    assert set(seen.tolist()) == {2, 3, 4, 5, 6}, "from 30 % of 6 to all"
    for (_, own, counts), (_, drawn, again), told in zip(tails[::2], tails[1::2], compared, strict=True):
        assert torch.equal(counts, told) and torch.equal(again, told)
        assert all(any(torch.equal(row, truth) for truth in truths) for row in own)
        assert torch.allclose(drawn, one.generator.w_avg.expand_as(drawn), atol=1e-6), "truncated to nothing"
    assert all(torch.equal(a[0], b[0]) for a, b in zip(tails[::2], tails[1::2], strict=True)), "sketches are read once a step"


def test_partial_sketches_have_as_much_ink_as_latents_count() -> None:
    asked: list[Tensor] = []

    def noted(sketches: Tensor, completion: Tensor, generator: torch.Generator) -> Tensor:
        asked.append(completion)
        return sketches

    learn(given={"partial": noted}, steps=12, batch=4, least_completion=0.5)
    shares = torch.cat(asked)
    assert set(torch.round(shares * 6).tolist()) == {3, 4, 5, 6}
    assert torch.allclose(shares * 6, (shares * 6).round(), atol=1e-6)


def test_the_teacher_reads_every_photo_once() -> None:
    class Counting(nn.Module):
        seen = 0

        def forward(self, photos: Tensor) -> Tensor:
            self.seen += len(photos)
            return torch.zeros(len(photos), 8, 16)

    teacher = Counting()
    learn(four(False), given={"teacher": teacher}, steps=7)
    assert teacher.seen == 4


def test_four_pairs_are_learned_by_heart() -> None:
    data = four()
    losses: list[float] = []
    one = learner(
        {"partial": None}, steps=240, batch=4, learning_rate=1e-2, widths=(16, 32, 64), hidden=32, pooled=4, ema_decay=0.8,
        discriminative_weight=0.0, perceptual_weight=0.0,
    )  # fmt: skip
    learned = one.learn(data, progress=False, callback=lambda stage: losses.append(stage.losses["pixel"]))
    assert sum(losses[-5:]) < 0.1 * sum(losses[:5])
    generator = stylegan()
    photos, sketches, ws = (torch.stack(part) for part in zip(*data, strict=True))
    with torch.no_grad():
        images = generator.synthesize(filled(learned.mapper(sketches), ws)).image
    apart = (images[:, None] - photos[None]).square().mean((2, 3, 4))
    assert apart.argmin(1).tolist() == [0, 1, 2, 3]
    assert float(apart.diagonal().mean()) < 0.1 * float(apart.mean())


def test_latents_come_first_where_asked_for_and_the_mapper_goes_on_from_them(tmp_path: Path) -> None:
    given = {"latent_steps": 3, "latent_batch": 4, "discriminative_weight": 0.0}
    seen: list[tuple[str, int, int]] = []
    drawn: list[int] = []
    one = learner(**given)
    one.generator.synthesis["b4"].register_forward_pre_hook(lambda *_: drawn.append(1))

    def note(stage: Stage[Any]) -> None:
        seen.append((stage.name, stage.run.step, len(drawn)))

    whole = one.learn(four(), folder=tmp_path / "whole", checkpoint_every=2, progress=False, callback=note)
    assert [name for name, *_ in seen] == ["latents"] * 3 + ["mapper"] * 5
    assert [count for name, _, count in seen if name == "latents"] == [0] * 3, "no face is drawn for them"
    assert set(whole.curves["latents"][0]) == {"step", "distillation"}
    assert not same(whole.mapper, learn(four(), discriminative_weight=0.0).mapper)

    def die(stage: Stage[Any]) -> None:
        if (stage.name, stage.run.step) == ("latents", 3):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        learn(four(), more={"folder": tmp_path / "parts", "checkpoint_every": 2, "callback": die}, **given)
    assert same(whole.mapper, learn(four(), more={"folder": tmp_path / "parts", "checkpoint_every": 2}, **given).mapper)


def test_latents_alone_bring_the_latents_nearer() -> None:
    losses: list[float] = []
    given = {"latent_steps": 240, "latent_batch": 4, "steps": 1, "learning_rate": 1e-2, "discriminative_weight": 0.0}
    given |= {"widths": (16, 32, 64), "hidden": 32, "pooled": 4}
    learn(
        four(),
        given={"partial": None},
        more={"callback": lambda stage: losses.append(stage.losses["distillation"])},
        **given,
    )
    assert sum(losses[-6:-1]) < 0.3 * sum(losses[:5])


def test_a_teacher_redraws_what_it_has_seen() -> None:
    seen: dict[str, list[float]] = {}

    def note(stage: Stage[Any]) -> None:
        seen.setdefault(stage.name, []).append(stage.losses.get("pixel", 0.0))

    given = {"teacher": "parallel", "teacher_steps": 100, "learning_rate": 1e-2, "batch": 4, "steps": 1}
    learned = learn(four(False), more={"callback": note}, **given, discriminative_weight=0.0, perceptual_weight=0.0)
    assert isinstance(learned.teacher, ParallelMapper) and learned.teacher.max_predicted == 8
    assert sum(seen["teacher"][-5:]) < 0.25 * sum(seen["teacher"][:5])


def test_averaged_weights_are_kept() -> None:
    kept: list[tuple[Tensor, Tensor]] = []
    learned = learn(
        more={"callback": lambda stage: kept.append((stage.network.steps.clone(), stage.average.steps.clone()))},
        discriminative_weight=0.0,
    )
    mean = config().fresh_mapper(stylegan()).steps
    assert mean is not None
    for step, (now, average) in enumerate(kept):
        mean = mean.detach().lerp(now, 1 - min(0.999, (1 + step) / (10 + step)))
        assert torch.allclose(mean, average, atol=1e-6)
    assert torch.equal(learned.mapper.steps, kept[-1][1]) and not learned.mapper.training


def test_from_folders_of_real_pairs() -> None:
    pairs = [PhotoSketchPair(picture(40, 50, i), picture(40, 50, i).convert("L"), str(i)) for i in range(3)]
    learned = learn(RealPairs(pairs, 32))
    assert learned.teacher.max_predicted == 8 and learned.mapper.max_predicted == 6


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([(torch.zeros(3, 16, 16), torch.zeros(1, 16, 16))] * 2, "the generator makes"),
        ([(torch.zeros(3, 32, 32), torch.zeros(1, 32, 32), torch.zeros(8, 4))] * 2, "the generator makes"),
        ([(torch.zeros(3, 32, 32), torch.zeros(3, 32, 32))] * 2, "a sketch"),
        ([(torch.zeros(3, 32, 32), torch.zeros(1, 32, 32))], "at least two pairs"),
    ],
)
def test_unusable_examples_are_refused(data: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        learn(data)


def test_a_teacher_of_another_generator_is_refused() -> None:
    teacher = InversionEncoder(6, 16, "small", 32, (4, 4, 4, 4), (1, 1, 1, 1), 8)
    with pytest.raises(InputError, match="the teacher gives ws"):
        learn(four(False), given={"teacher": teacher})


def test_losses_that_are_no_numbers_stop_it() -> None:
    with pytest.raises(InputError, match="lower learning rate"):
        learn(steps=30, learning_rate=1e30, discriminative_weight=0.0)


def test_perception_needs_a_distance() -> None:
    with pytest.raises(InputError, match="LPIPS"):
        PictureThatSketchLearner(stylegan(), config())
    PictureThatSketchLearner(stylegan(), config(perceptual_weight=0.0))


@pytest.mark.parametrize(
    "changes",
    [{"steps": 0}, {"latent_steps": -1}, {"latent_batch": 0},
     {"pixel_weight": -1.0}, {"truncation": 2.0}, {"mapper": "recurrent"}, {"seed": -1}, {"ema_decay": 2.0},
     {"pixel_weight": 0.0, "perceptual_weight": 0.0, "discriminative_weight": 0.0, "distillation_weight": 0.0}],
)  # fmt: skip
def test_nonsense_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="weights of the loss" if len(changes) > 1 else next(iter(changes))):
        config(**changes)


def test_sizes_that_no_generator_has_are_refused() -> None:
    with pytest.raises(InputError, match="max_predicted is 20"):
        learn(max_predicted=20)


def test_the_defaults_are_the_papers() -> None:
    default = picture_that_sketch.PictureThatSketchConfig()
    assert list(default.weights_of_losses.values()) == [1, 0.8, 0.5, 0.6]
    assert (default.least_completion, default.truncation, default.batch, default.backbone) == (0.3, 0.7, 4, "resnet50")
    assert copy.copy(EMBEDDING).margin == 0.2 and laplacian_distance is not None
