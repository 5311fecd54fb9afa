"""The face finder's network: its maps, how faces are read off them, and that it is small."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from oneshot_sketch.models.face_finder import FaceFinderNetwork, FaceMaps, cells, detections, reach

FRONTAL = torch.tensor([[-10.0, -8], [10, -8], [0, 2], [-7, 11], [7, 11]])


@pytest.fixture
def network() -> FaceFinderNetwork:
    torch.manual_seed(0)
    return FaceFinderNetwork((8, 8, 8, 8), (8, 8)).eval()


def drawn_by_hand(faces: list[tuple[torch.Tensor, float]], height: int = 32, width: int = 32) -> FaceMaps:
    """Maps in which each cell near a face's centre points to it, the nearest with the logit given."""
    heat, points = torch.full((1, 1, height, width), -9.0), torch.zeros(1, 5, 2, height, width)
    for face, logit in faces:
        distance = (cells(height, width) - face.mean(0)[:, None, None]).norm(dim=0)
        near = distance < 8
        heat[0, 0] = torch.where(near, logit - distance, heat[0, 0])
        points[0] = torch.where(near, face[..., None, None], points[0])
    return FaceMaps(heat=heat, points=points, reach=torch.ones_like(heat), drawn=torch.full_like(heat, 2.0))


def test_maps_have_a_cell_for_every_four_pixels(network: FaceFinderNetwork) -> None:
    maps = network(torch.zeros(2, 3, 64, 96))
    assert [tuple(maps[key].shape) for key in ("heat", "points", "reach", "drawn")] == [
        (2, 1, 16, 24),
        (2, 5, 2, 16, 24),
        (2, 1, 16, 24),
        (2, 1, 16, 24),
    ]
    assert (maps.reach > 0).all()
    assert cells(16, 24)[:, 0, 0].tolist() == [1.5, 1.5]
    assert cells(16, 24)[:, 15, 23].tolist() == [93.5, 61.5]


def test_it_is_blind_to_where_a_picture_lies(network: FaceFinderNetwork) -> None:
    torch.manual_seed(1)
    patch = torch.rand(1, 3, 32, 32)
    here, there = (torch.zeros(1, 3, 192, 192) for _ in range(2))
    here[..., 80:112, 80:112], there[..., 80:112, 96:128] = patch, patch
    a, b = network(here), network(there)
    inner = slice(16, 32)
    moved = b.points[..., inner, 20:36] - a.points[..., inner, 16:32]
    assert torch.allclose(moved[:, :, 0], torch.tensor(16.0), atol=1e-3)
    assert torch.allclose(moved[:, :, 1], torch.tensor(0.0), atol=1e-3)


def test_a_wild_answer_stays_finite(network: FaceFinderNetwork) -> None:
    torch.nn.init.constant_(network.head.bias, 1e4)  # type: ignore[arg-type]
    assert network(torch.zeros(1, 3, 32, 32)).points.isfinite().all()


def test_every_face_is_found_once_and_the_surest_comes_first() -> None:
    a, b = FRONTAL + torch.tensor([30.0, 40]), 0.5 * FRONTAL + torch.tensor([90.0, 80])
    found = detections(drawn_by_hand([(a, 1.0), (b, 3.0)]), threshold=0.4)[0]
    assert torch.allclose(found.points, torch.stack([b, a]))
    assert (found.score[0] > found.score[1] > 0.4).item()
    assert torch.allclose(found.drawn, torch.tensor(2.0).sigmoid().expand(2))


def test_two_peaks_within_a_face_are_one_face_and_faint_ones_none() -> None:
    a = FRONTAL + torch.tensor([40.0, 40])
    twin = a + torch.tensor([12.0, 0])
    found = detections(drawn_by_hand([(a, 3.0), (twin, 1.0)]), threshold=0.4)[0]
    assert torch.allclose(found.points, a[None], atol=0.1)
    neighbour = a + torch.tensor([24.0, 0])
    assert len(detections(drawn_by_hand([(a, 3.0), (neighbour, 2.0)]), threshold=0.4)[0].points) == 2
    assert len(detections(drawn_by_hand([(a, -1.0)]), threshold=0.4)[0].points) == 0


def test_a_batch_keeps_its_pictures_apart() -> None:
    a = FRONTAL + torch.tensor([40.0, 40])
    one, none = drawn_by_hand([(a, 3.0)]), drawn_by_hand([])
    maps = FaceMaps(**{key: torch.cat([none[key], one[key]]) for key in ("heat", "points", "reach", "drawn")})
    assert [len(found.points) for found in detections(maps, 0.4)] == [0, 1]


def test_a_turned_head_is_as_large_as_one_seen_frontally() -> None:
    assert reach(FRONTAL).item() == pytest.approx(20)
    turned = FRONTAL * torch.tensor([0.3, 1])
    assert reach(turned).item() == pytest.approx(19)
    assert reach(torch.stack([FRONTAL, 2 * FRONTAL])).tolist() == pytest.approx([20, 40])


def test_saved_and_loaded_it_answers_the_same(network: FaceFinderNetwork, tmp_path: Path) -> None:
    network.save_pretrained(tmp_path)
    again = FaceFinderNetwork.from_pretrained(tmp_path).eval()
    sample = torch.rand(1, 3, 64, 64)
    assert torch.equal(again(sample).points, network(sample).points)


def test_its_default_is_small() -> None:
    assert sum(parameter.numel() for parameter in FaceFinderNetwork().parameters()) <= 600_000
