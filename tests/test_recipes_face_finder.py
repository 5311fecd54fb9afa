"""What trains the face finder: labels follow the picture through every scene, and a stopped run resumes to the same bytes."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from on_disk import contents

cv2 = pytest.importorskip("cv2")
pytest.importorskip("skimage")
ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "recipes" / "mini_prior"))

import face_scenes  # noqa: E402
import face_sources  # noqa: E402
import train_face_finder  # noqa: E402

from oneshot_sketch.landmarks import five_points  # noqa: E402
from oneshot_sketch.models.face_finder import FaceFinderNetwork, reach  # noqa: E402

FRONTAL = np.array([(52, 44), (88, 44), (70, 62), (56, 80), (84, 80)], np.float32)
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Eighteen sources, three an origin: black pictures of 140×120 with a white disc on each of the five points."""
    y, x = np.mgrid[:144, :144]
    distance = np.hypot(x - FRONTAL[:, 0, None, None], y - FRONTAL[:, 1, None, None]).min(0)
    square = np.repeat(np.where(distance < 5, 255, 0).astype(np.uint8)[..., None], 3, axis=2)
    square[120:], square[:, 140:] = 99, 99
    count = 3 * len(face_sources.ORIGINS)
    (tmp_path / "sources").mkdir()
    np.save(tmp_path / "sources" / "pictures.npy", np.stack([square] * count))
    np.savez(
        tmp_path / "sources" / "faces.npz",
        sizes=np.array([(140, 120)] * count),
        points=np.stack([FRONTAL] * count),
        origins=np.arange(count) // 3,
        held_out=np.arange(count) % 3 == 2,
    )
    return tmp_path


@pytest.fixture
def scenes(folder: Path) -> face_scenes.Scenes:
    return face_scenes.Scenes(face_scenes.Sources.read(folder / "sources", held_out=False))


def test_the_recipes_share_their_order_of_origins() -> None:
    assert tuple(face_scenes.SHARES) == face_sources.ORIGINS
    assert sum(face_scenes.SHARES.values()) == pytest.approx(1)


def test_the_split_is_kept(folder: Path) -> None:
    train, held = (face_scenes.Sources.read(folder / "sources", held_out=side) for side in (False, True))
    assert (len(train.sizes), len(held.sizes)) == (12, 6)
    assert [round(float(train.odds[train.origins == k].sum()), 6) for k in range(6)] == list(face_scenes.SHARES.values())


def test_points_lie_on_the_picture_whatever_the_size_angle_and_place(scenes: face_scenes.Scenes) -> None:
    for size in (12.0, 30.0, 50.0):
        for angle in (-30.0, 0.0, 20.0):
            for seed in range(3):
                centre = np.array([64.0, 60.0])
                rng = np.random.default_rng(seed)
                picture, _, points = scenes.warped(rng, 0, size, angle, centre)
                assert face_scenes.reach(points) == pytest.approx(size, rel=0.02)
                assert points.mean(0) == pytest.approx(centre, abs=0.01)
                x, y = points.round().astype(int).T
                assert picture[y, x].min() > 150
                assert abs(np.degrees(np.arctan2(*(points[1] - points[0])[::-1])) - angle) < 1


def test_a_scene_is_a_function_of_its_draw(scenes: face_scenes.Scenes) -> None:
    a, b, c = (scenes.scene(np.random.default_rng(seed)) for seed in (5, 5, 6))
    assert np.array_equal(a.picture, b.picture)
    assert np.array_equal(a.points, b.points)
    assert not np.array_equal(a.picture, c.picture)


def test_scenes_hold_none_to_three_faces_apart_from_each_other(scenes: face_scenes.Scenes) -> None:
    made = [scenes.scene(np.random.default_rng(seed)) for seed in range(150)]
    assert {len(scene.points) for scene in made} == {0, 1, 2, 3}
    assert {bool(drawn) for scene in made for drawn in scene.drawn} == {False, True}
    for scene in made:
        assert (scene.picture.shape, scene.picture.dtype) == ((128, 128, 3), np.uint8)
        for n, points in enumerate(scene.points):
            five_points(points)  # mirrored pictures have their left eye on the left too
            assert ((points > -1) & (points < 128)).all()
            others = np.delete(scene.points, n, axis=0).mean(1)
            assert (np.linalg.norm(others - points.mean(0), axis=-1) > 1.5 * face_scenes.reach(points)).all()


def test_the_loss_is_nothing_for_the_truth_and_much_for_a_lie(scenes: face_scenes.Scenes) -> None:
    batch = [scenes.scene(np.random.default_rng(seed)) for seed in range(8)]
    assert any(len(scene.points) for scene in batch)
    maps = perfect(batch)
    right = train_face_finder.compare(maps, batch)
    assert max(value.item() for value in right.values()) < 1e-3
    maps.points += 10
    maps.heat = -maps.heat
    wrong = train_face_finder.compare(maps, batch)
    assert wrong["points"] > 0.1
    assert wrong["heat"] > 1


def perfect(batch: list[face_scenes.Scene]) -> train_face_finder.FaceMaps:
    grid = train_face_finder.cells(32, 32)
    heat, drawn = torch.full((len(batch), 1, 32, 32), -30.0), torch.zeros(len(batch), 1, 32, 32)
    points, sizes = torch.zeros(len(batch), 5, 2, 32, 32), torch.ones(len(batch), 1, 32, 32)
    for b, scene in enumerate(batch):
        for face, is_drawn in zip(torch.from_numpy(scene.points), scene.drawn, strict=True):
            distance = (grid - face.mean(0)[:, None, None]).norm(dim=0)
            near = distance < 1.6 * reach(face)
            points[b] = torch.where(near, face[..., None, None], points[b])
            sizes[b, 0] = torch.where(near, reach(face), sizes[b, 0])
            drawn[b, 0] = torch.where(near, 30.0 if is_drawn else -30.0, drawn[b, 0])
            heat[b, 0].view(-1)[distance.argmin()] = 30
    return train_face_finder.FaceMaps(heat=heat, points=points, reach=sizes, drawn=drawn)


def train(monkeypatch: pytest.MonkeyPatch, folder: Path, output: str, *flags: str) -> None:
    asked = ["--sources", folder / "sources", "--output", folder / output, "--batch", "2", "--every", "2", "--validation", "4"]
    monkeypatch.setattr(sys, "argv", ["train_face_finder.py", *map(str, asked), *flags])
    train_face_finder.main()


def test_a_stopped_run_resumes_to_the_same_bytes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train(monkeypatch, folder, "whole", "--steps", "4", "--release", str(folder / "whole" / "released"))
    save = train_face_finder.save

    def killed(*args: object) -> None:
        save(*args)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    monkeypatch.setattr(train_face_finder, "save", killed)
    with pytest.raises(KeyboardInterrupt):
        train(monkeypatch, folder, "stopped", "--steps", "4")
    monkeypatch.setattr(train_face_finder, "save", save)
    train(monkeypatch, folder, "stopped", "--steps", "4", "--release", str(folder / "stopped" / "released"))
    assert contents(folder / "stopped") == contents(folder / "whole")
    with pytest.raises(SystemExit, match="give the same arguments, or another --output"):
        train(monkeypatch, folder, "whole", "--steps", "4", "--seed", "1")
    with pytest.raises(SystemExit, match="give the same arguments"):
        train(monkeypatch, folder, "whole", "--steps", "6")


def test_training_goes_on_from_a_released_network(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train(monkeypatch, folder, "first", "--steps", "2", "--release", str(folder / "released"))
    start = ("--start", str(folder / "released"), "--learning-rate", "0")
    train(monkeypatch, folder, "second", "--steps", "1", *start, "--release", str(folder / "again"))
    before, after = (dict(FaceFinderNetwork.from_pretrained(folder / name).named_parameters()) for name in ("released", "again"))
    assert all(torch.equal(after[name], parameter) for name, parameter in before.items())
    assert str(folder) not in (folder / "again" / "config.json").read_text()
    with pytest.raises(SystemExit, match="give the same arguments"):
        train(monkeypatch, folder, "second", "--steps", "1", "--learning-rate", "0")
    with pytest.raises(SystemExit, match="2"):
        train(monkeypatch, folder, "third", "--steps", "1", "--blend", "0.5")


def test_what_is_released_lies_between_the_start_and_the_end(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train(monkeypatch, folder, "first", "--steps", "1", "--release", str(folder / "start"))
    start = ("--start", str(folder / "start"), "--seed", "1")
    for name, blend in (("end", "0"), ("quarter", "0.25")):
        train(monkeypatch, folder, "second", "--steps", "2", *start, "--blend", blend, "--release", str(folder / name))
    a, b, c = (FaceFinderNetwork.from_pretrained(folder / name).state_dict() for name in ("start", "end", "quarter"))
    assert not torch.equal(a["stem.0.weight"], b["stem.0.weight"])
    for name in ("stem.0.weight", "stem.1.running_var", "head.bias"):
        torch.testing.assert_close(c[name], 0.25 * a[name] + 0.75 * b[name], rtol=2e-3, atol=1e-4)


def test_lookalikes_stay_on_one_side_of_the_split() -> None:
    groups = np.repeat(np.arange(300), 3)
    held_out = face_sources.split(groups)
    assert 0.06 < held_out.mean() < 0.1
    assert all(len(set(held_out[groups == group])) == 1 for group in range(300))


def test_an_edit_that_leaves_the_photo_is_no_drawing() -> None:
    rng = np.random.default_rng(0)
    photo = np.ascontiguousarray(cv2.GaussianBlur(rng.uniform(0, 255, (90, 80, 3)), (0, 0), 2))
    photo = cv2.normalize(photo, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
    grey = np.repeat(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
    grainy = np.clip(grey * 0.6 + rng.normal(60, 3, (90, 80, 1)), 0, 255).astype(np.uint8)
    lines = np.where(np.abs(cv2.Laplacian(grey.astype(np.float32), cv2.CV_32F)) > 1, 0, 255).astype(np.uint8)
    flat = np.where(photo > 127, 220, 40).astype(np.uint8)
    told = [face_sources.photographic(edit, photo) for edit in (photo, 255 - (255 - photo) // 2, grainy, lines, flat)]
    assert told == [True, True, True, False, False]


def test_a_scene_in_colour_often_turns_grey_or_into_the_tones_of_one_ink() -> None:
    ramp = np.linspace(0, 255, 128).astype(np.uint8)
    canvas = np.stack([*np.broadcast_arrays(ramp[:, None], ramp[None, ::-1], ramp[None])], axis=-1)
    made = [face_scenes.photographed(np.random.default_rng(seed), canvas, 30.0) for seed in range(200)]
    one_ink = [_most_of_its_colour_on_a_line(picture) for picture in made]
    assert 0.35 < np.mean(one_ink) < 0.55


def _most_of_its_colour_on_a_line(picture: np.ndarray) -> bool:
    smooth = cv2.GaussianBlur(picture, (0, 0), 6).reshape(-1, 3).astype(np.float64)
    spread = np.linalg.svd(smooth - smooth.mean(0), compute_uv=False)
    return bool(spread[1] < 0.15 * spread[0])


def test_a_cartoon_is_flat_and_keeps_its_size() -> None:
    rng = np.random.default_rng(0)
    photo = np.clip(np.linspace(0, 1, 60)[None, :, None] + 0.02 * rng.standard_normal((40, 60, 3)), 0, 1).astype(np.float32)
    flat = face_sources.cartoon(np.random.default_rng(1), photo)
    assert flat.shape == photo.shape
    assert flat.min() >= 0
    assert flat.max() <= 1
    assert len(np.unique(flat[20, :, 0].round(2))) < 30
