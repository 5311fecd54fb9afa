from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from small_picture_that_sketch import EMBEDDING, four, invented
from tiny_stylegan import tiny_stylegan
from torch import Tensor

from oneshot_sketch import InputError
from oneshot_sketch.images import grey
from oneshot_sketch.learners.fine_grained_embedding import FineGrainedConfig, FineGrainedLearner, _nearest_wrong
from oneshot_sketch.learners.picture_that_sketch_data import PseudoPairs, digest, rows, taken
from oneshot_sketch.models.stylesketch import StyleSketchGenerator

pytestmark = pytest.mark.usefixtures("one_thread")
CPU = torch.device("cpu")


def test_sketches_find_their_own_photos() -> None:
    photos, sketches, _ = (torch.stack(part) for part in zip(*four(), strict=True))
    config = replace(EMBEDDING, steps=60, batch=4, learning_rate=5e-3, negatives="hardest", augment=0.0)
    network, curve = FineGrainedLearner(config).learn(four(), progress=False)
    likeness = network(sketches) @ network(photos).T
    assert likeness.argmax(1).tolist() == [0, 1, 2, 3]
    assert curve[-1]["triplet"] < 0.3 * curve[0]["triplet"]
    assert not any(p.requires_grad for p in network.parameters())


def test_the_same_seed_gives_the_same_bytes_and_each_setting_counts() -> None:
    first, again, *others = (
        FineGrainedLearner(replace(EMBEDDING, **changes)).learn(four(), progress=False)[0].head.weight
        for changes in ({}, {}, {"seed": 1}, {"negatives": "hardest"}, {"augment": 1.0}, {"margin": 1.0})
    )
    assert torch.equal(first, again)
    assert not any(torch.equal(first, other) for other in others[:2])
    assert not torch.equal(first, others[2])


def test_the_hardest_negative_is_the_nearest_but_the_own() -> None:
    anchor = torch.eye(3)
    positive = torch.tensor([[1.0, 0.0, 0.0], [0.9, 0.1, 0.3], [0.0, 0.8, 0.2]])
    assert torch.equal(_nearest_wrong(anchor, positive), positive[[1, 2, 1]])


def test_every_example_comes_once_a_pass_in_another_order_each_time() -> None:
    seen = [row for step in range(6) for row in rows(6, 4, step, 0)]
    passes = [seen[i : i + 6] for i in range(0, 24, 6)]
    assert all(sorted(one) == list(range(6)) for one in passes) and passes[0] != passes[1]
    assert rows(6, 4, 3, 0) == seen[12:16] and rows(6, 4, 0, 1) != seen[:4]


def test_pseudo_pairs_are_functions_of_seed_and_index_and_cost_no_gradient() -> None:
    generator = tiny_stylegan()
    data = PseudoPairs(generator, lambda photos: grey(photos), 10**6)
    photo, sketch, ws = data[7]
    assert photo.shape == (3, 32, 32) and sketch.shape == (1, 32, 32) and ws.shape == (8, 16) and len(data) == 10**6
    assert not any(part.requires_grad for part in (photo, sketch, ws)) and next(generator.parameters()).requires_grad
    several = data.__getitems__([3, 7])
    assert torch.allclose(several[1][0], photo, atol=1e-5) and not torch.allclose(several[0][0], photo, atol=1e-2)
    assert torch.equal(generator.synthesize(ws[None]).image.clamp(-1, 1)[0], photo)
    assert torch.equal(sketch, grey(photo[None])[0])
    assert not torch.equal(PseudoPairs(generator, data.draw, 10, seed=1)[7][2], ws)
    with pytest.raises(IndexError):
        data[10**6]


def test_a_sketch_generator_reads_the_features() -> None:
    generator = tiny_stylegan()
    torch.manual_seed(0)
    sketcher = StyleSketchGenerator.for_stylegan(generator, width=16).eval()
    photo, sketch, ws = PseudoPairs(generator, sketcher)[0]
    made = generator.synthesize(ws[None])
    wanted = sketcher(made.features, made.image)[0] * 2 - 1
    assert torch.equal(sketch, wanted.detach()) and photo.shape == (3, 32, 32)


def test_whatever_draws_must_give_sketches() -> None:
    with pytest.raises(InputError, match=r"must give \(B, 1, H, W\)"):
        PseudoPairs(tiny_stylegan(), lambda photos: photos)[0]


def test_a_batch_holds_what_the_data_set_holds() -> None:
    batch = taken(four(), [2, 0], CPU)
    assert batch.ws is not None and torch.equal(batch.ws[1], four()[0][2]) and torch.equal(batch.sketch[0], four()[2][1])
    assert taken(four(False), [1], CPU).ws is None
    ragged: list[tuple[Tensor, ...]] = [(torch.zeros(3, side, side), torch.zeros(1, 8, 8)) for side in (8, 9)]
    with pytest.raises(InputError, match="do not fit together"):
        taken(ragged, [0, 1], CPU)


def test_data_sets_are_told_apart() -> None:
    assert digest(invented(20)) == digest(invented(20))
    assert len({digest(data) for data in (invented(20), invented(21), four(), four(False), four()[:3])}) == 5
    with pytest.raises(InputError, match="no pair"):
        digest([])


def test_a_stopped_run_goes_on(tmp_path: Path) -> None:
    whole, curve = FineGrainedLearner(replace(EMBEDDING, steps=4)).learn(four(), progress=False)

    def die(stage: Any) -> None:
        if stage.run.step == 3:
            raise KeyboardInterrupt

    learner = FineGrainedLearner(replace(EMBEDDING, steps=4))
    with pytest.raises(KeyboardInterrupt):
        learner.learn(four(), folder=tmp_path, checkpoint_every=1, callback=die, progress=False)
    parts, again = learner.learn(four(), folder=tmp_path, progress=False)
    assert torch.equal(whole.head.weight, parts.head.weight) and curve == again


@pytest.mark.parametrize("changes", [{"batch": 1}, {"margin": 0.0}, {"negatives": "all"}, {"augment": 2.0}, {"seed": -1}])
def test_nonsense_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(changes))):
        FineGrainedConfig(**changes)
