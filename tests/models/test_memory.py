from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from oneshot_sketch import InputError
from oneshot_sketch.models.memory import Assignment, MemoryDictionary, cosines, move_towards, read, slots_of


def features(seed: int, batch: int = 2, channels: int = 6, side: int = 4) -> Tensor:
    return torch.randn(batch, channels, side, side, generator=torch.Generator().manual_seed(seed))


def memory(assignment: Assignment = "separate", items: int = 5, **options: float) -> MemoryDictionary:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return MemoryDictionary(items, 6, assignment=assignment, **options)  # type: ignore[arg-type]


def by_hand(items: Tensor, slots: Tensor, chosen: list[int], decay: float) -> Tensor:
    """Eq. 6 with the mean of an item's slots, one number after the other."""
    moved = items.clone()
    for j in range(len(items)):
        own = [slots[i] for i, c in enumerate(chosen) if c == j]
        if own:
            moved[j] = decay * items[j] + (1 - decay) * sum(own) / len(own)
    return moved


def nearest(slots: Tensor, items: Tensor) -> list[int]:
    return [max(range(len(items)), key=lambda j: float(F.cosine_similarity(slot, items[j], dim=0))) for slot in slots]


@pytest.mark.parametrize("assignment", ["separate", "paired"])
def test_update_is_the_moving_average_by_hand(assignment: Assignment) -> None:
    m, photo, sketch = memory(assignment, decay=0.9), features(2), features(3)
    keys, values = m.keys.clone(), m.values.clone()
    p, s = photo.permute(0, 2, 3, 1).reshape(-1, 6), sketch.permute(0, 2, 3, 1).reshape(-1, 6)
    a = nearest(p, keys)
    b = a if assignment == "paired" else nearest(s, values)
    m.update(photo, sketch)
    torch.testing.assert_close(m.keys, by_hand(keys, p, a, 0.9))
    torch.testing.assert_close(m.values, by_hand(values, s, b, 0.9))
    assert nearest(s, values) != a  # or the two assignments could not be told apart


def test_items_nobody_chose_keep_their_bytes() -> None:
    items = torch.randn(4, 6)
    before = items.clone()
    counts = move_towards(items, torch.randn(9, 6), torch.tensor([0, 2, 2, 0, 0, 2, 2, 2, 0]), 0.5)
    assert counts.tolist() == [4, 0, 5, 0]
    assert torch.equal(items[[1, 3]], before[[1, 3]])
    assert not torch.isclose(items[[0, 2]], before[[0, 2]]).any()


def test_read_weights_sum_to_one_and_are_the_softmax_of_cosines() -> None:
    m, slots = memory(), torch.randn(3, 7, 6)
    ones = read(slots, m.keys, torch.ones_like(m.values), m.temperature)
    torch.testing.assert_close(ones, torch.ones_like(ones))
    eye = read(slots, m.keys, torch.eye(5), m.temperature)  # the weights themselves
    slot, row = slots[1, 2], eye[1, 2]
    similar = torch.stack([slot @ key / slot.norm() / key.norm() for key in m.keys])
    torch.testing.assert_close(row, (similar / 0.1).exp() / (similar / 0.1).exp().sum())


def test_towards_temperature_0_the_read_is_the_best_items_value() -> None:
    m, slots = memory(), torch.randn(40, 6)
    best = m.values[cosines(slots, m.keys).argmax(-1)]
    torch.testing.assert_close(read(slots, m.keys, m.values, 1e-6), best)
    assert (read(slots, m.keys, m.values, 1.0) - best).abs().mean() > 0.1


def test_read_does_not_depend_on_the_length_of_query_or_key() -> None:
    m, slots = memory(), torch.randn(8, 6)
    torch.testing.assert_close(read(slots * 7, m.keys * 0.2, m.values, 0.1), read(slots, m.keys, m.values, 0.1))


def test_no_gradient_reaches_the_memory_but_the_query_has_one() -> None:
    m, photo, sketch = memory(), features(2).requires_grad_(), features(3).requires_grad_()
    m.update(photo, sketch)
    m(photo).square().sum().backward()
    assert list(m.parameters()) == []
    assert all(not buffer.requires_grad and buffer.grad is None for buffer in m.buffers())
    assert photo.grad is not None and photo.grad.abs().sum() > 0
    assert sketch.grad is None


def test_memory_travels_in_the_state_dict() -> None:
    m, other = memory(), memory()
    m.update(features(2), features(3))
    other.load_state_dict(m.state_dict())
    assert torch.equal(other(features(4)), m(features(4)))
    assert set(m.state_dict()) == {"keys", "values", "usage", "idle"}


def test_slots_go_out_and_come_back_in_place() -> None:
    """The value of the item is read where the photo has its key."""
    m = memory(temperature=1e-6)
    chosen = torch.tensor([[0, 3], [4, 1]])
    photo = m.keys[chosen].permute(2, 0, 1)[None]
    assert torch.equal(m(photo)[0].permute(1, 2, 0), m.values[chosen])
    assert slots_of(photo).shape == (1, 4, 6)


def test_a_filled_memory_holds_key_and_value_of_the_same_place() -> None:
    m, photo, sketch = memory(items=10), features(2), features(3)
    m.fill(photo, sketch, torch.Generator().manual_seed(0))
    p, s = slots_of(photo).flatten(0, 1), slots_of(sketch).flatten(0, 1)
    places = [int((p == key).all(1).nonzero()) for key in m.keys]
    assert len(set(places)) == 10
    assert torch.equal(s[places], m.values)


def test_a_batch_of_fewer_slots_than_items_fills_the_memory_too() -> None:
    m = memory(items=10)
    m.fill(features(2, 1, side=2), features(3, 1, side=2), torch.Generator())
    assert len(m.keys.unique(dim=0)) == 4


def test_dead_items_are_planted_anew_and_only_they() -> None:
    m, photo, sketch = memory(), features(2).abs(), features(3)
    m.keys[:] = slots_of(photo)[0, :5]
    m.keys[[1, 3]] *= -1  # on the far side of every slot
    for _ in range(3):
        m.update(photo, sketch)
    dead = m.idle >= 3
    assert dead[[1, 3]].all() and not dead.all()
    before = m.keys.clone()
    assert m.revive(4, photo, sketch, torch.Generator()) == 0
    assert m.revive(3, photo, sketch, torch.Generator()) == int(dead.sum())
    assert torch.equal(m.keys[~dead], before[~dead])
    p, s = slots_of(photo).flatten(0, 1), slots_of(sketch).flatten(0, 1)
    for key, value in zip(m.keys[dead], m.values[dead], strict=True):
        place = int((p == key).all(1).nonzero())
        assert torch.equal(s[place], value)
    assert not (m.idle >= 3).any()


def test_entropy_tells_even_use_from_a_single_item() -> None:
    m = memory()
    assert m.entropy == pytest.approx(1)
    one = m.keys[2].view(1, 6, 1, 1).expand(1, 6, 3, 3)
    for _ in range(100):
        m.update(one, one)
    assert m.entropy < 0.01


def test_retrieval_of_a_linear_style_gets_better() -> None:
    """Sketch features are a matrix times photo features; with fixed encoders, the read comes nearer to them."""
    generator = torch.Generator().manual_seed(0)
    style, centres = torch.randn(6, 6, generator=generator), torch.randn(12, 6, generator=generator)

    def batch(step: int) -> tuple[Tensor, Tensor]:
        fresh = torch.Generator().manual_seed(step)
        p = centres[torch.randint(12, (1, 8, 8), generator=fresh)] + 0.1 * torch.randn(1, 8, 8, 6, generator=fresh)
        return p.permute(0, 3, 1, 2), (p @ style).permute(0, 3, 1, 2)

    m = memory("paired", items=32, decay=0.9)
    photo, sketch = batch(999)
    errors = [(m(photo) - sketch).abs().mean()]
    for step in range(60):
        m.update(*batch(step))
        m.revive(10, *batch(step), torch.Generator().manual_seed(step))
    errors.append((m(photo) - sketch).abs().mean())
    assert errors[1] < 0.5 * errors[0]


@pytest.mark.parametrize("options", [{"items": 1}, {"decay": 1.5}, {"temperature": 0.0}, {"assignment": "loose"}])
def test_nonsense_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(InputError):
        MemoryDictionary(**options)  # type: ignore[arg-type]
