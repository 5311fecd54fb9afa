"""The square around a face: where FFHQ's recipe puts it, cutting it out, and laying it back."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from conftest import SHARED, picture
from PIL import Image

from oneshot_sketch.errors import InputError
from oneshot_sketch.face_crop import FaceCrop
from oneshot_sketch.images import open_image, to_tensor
from oneshot_sketch.landmarks import YuNet

WEIGHTS = SHARED / "weights/yunet/yunet_n_320_320.onnx"
THUMBNAILS = SHARED / "photos/ffhq_128"
FACE = np.array([(40, 50), (80, 50), (60, 70), (45, 95), (75, 95)], float)


def turned(points: np.ndarray, degrees: float, scale: float = 1.0) -> np.ndarray:
    c, s = scale * np.cos(np.radians(degrees)), scale * np.sin(np.radians(degrees))
    return points @ np.array([[c, s], [-s, c]])


def test_the_square_is_that_of_the_recipe() -> None:
    """Eyes 40 apart, mouth 45 below: the side is max(4 · 40, 3.6 · 45) around a point 4.5 below the eyes."""
    crop = FaceCrop.around(FACE, (120, 130))
    assert crop.side == pytest.approx(162)
    np.testing.assert_allclose(crop.origin, [60.5 - 81, 55 - 81])
    wide = FACE.copy()
    wide[:2, 0] = 30, 90
    assert FaceCrop.around(wide, (120, 130)).side == pytest.approx(4 * 60)


def test_the_square_turns_and_grows_with_the_face() -> None:
    crop = FaceCrop.around(turned(FACE, 30, 2.0), (400, 400))
    plain = FaceCrop.around(FACE, (400, 400))
    assert crop.side == pytest.approx(2 * plain.side)
    np.testing.assert_allclose(crop.across, turned(plain.across[None], 30, 2.0)[0])
    np.testing.assert_allclose(crop.origin - 0.5, turned(plain.origin[None] - 0.5, 30, 2.0)[0])


def test_points_that_are_no_face_are_refused() -> None:
    with pytest.raises(InputError, match="no face in this order"):
        FaceCrop.around(FACE[[1, 0, 2, 3, 4]], (100, 100))


def test_a_square_of_whole_pixels_is_cut_exactly() -> None:
    photo = picture(40, 40, seed=3)
    crop = FaceCrop(np.array([8.0, 4.0]), np.array([24.0, 0.0]), photo.size)
    assert torch.equal(crop.cut(photo, 24), to_tensor(photo)[:, :, 4:28, 8:32])


def test_a_turned_square_shows_what_is_there() -> None:
    """A quarter turn: its upper side runs down the photo."""
    photo = picture(40, 40, seed=3)
    crop = FaceCrop(np.array([32.0, 4.0]), np.array([0.0, 24.0]), photo.size)
    expected = to_tensor(photo)[:, :, 4:28, 8:32].transpose(2, 3).flip(2)
    torch.testing.assert_close(crop.cut(photo, 24), expected, atol=1e-5, rtol=0)


def test_beyond_the_photo_is_its_mirror_image() -> None:
    photo = picture(32, 32, seed=4)
    cut = FaceCrop(np.array([-8.0, 0.0]), np.array([32.0, 0.0]), photo.size).cut(photo, 32)
    torch.testing.assert_close(cut[..., :8], to_tensor(photo)[..., :8].flip(3), atol=1e-5, rtol=0)


def test_shrinking_averages_first() -> None:
    stripes = Image.fromarray(np.tile(np.array([0, 255], np.uint8), (64, 32)))
    cut = FaceCrop(np.zeros(2), np.array([64.0, 0.0]), (64, 64)).cut(stripes.convert("RGB"), 16)
    assert cut.abs().max() < 0.1


def test_a_crop_is_of_one_size_of_photo() -> None:
    with pytest.raises(ValueError, match="was made for"):
        FaceCrop(np.zeros(2), np.array([16.0, 0.0]), (16, 16)).cut(picture(32, 32), 16)


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0])
def test_what_is_laid_back_lies_where_it_was_cut(scale: float) -> None:
    photo = picture(240, 200, seed=5)
    crop = FaceCrop.around(turned(FACE, 12) + np.array([60, 10]), photo.size)
    back = crop.lay_back(crop.cut(photo, round(scale * 160)), photo.size, 9.0)
    inside = (back != 9).all(1, keepdim=True).expand_as(back)
    assert 0.3 < inside.float().mean() < 0.7
    assert (back - to_tensor(photo))[inside].abs().mean() < 0.02


def test_a_smaller_frame_is_the_whole_photo_shrunk() -> None:
    crop = FaceCrop(np.array([40.0, 20.0]), np.array([80.0, 0.0]), (160, 120))
    laid = crop.lay_back(torch.ones(1, 1, 64, 64), (80, 60), 0.0)[0, 0]
    expected = torch.zeros(60, 80)
    expected[10:50, 20:60] = 1
    assert torch.equal(laid, expected)


def test_shrinking_back_averages_too() -> None:
    stripes = torch.arange(256).remainder(2).float().expand(1, 1, 256, 256)
    laid = FaceCrop(np.zeros(2), np.array([32.0, 0.0]), (32, 32)).lay_back(stripes, (32, 32), 0.0)
    assert (laid - 0.5).abs().max() < 0.05


@pytest.mark.skipif(not (WEIGHTS.is_file() and THUMBNAILS.is_dir()), reason="no development data here")
def test_pictures_of_ffhq_are_aligned_as_they_are() -> None:
    pytest.importorskip("cv2")
    finder, scales, shifts, apart = YuNet(WEIGHTS), [], [], []
    for path in sorted(THUMBNAILS.iterdir())[:12]:
        photo = open_image(path).resize((320, 320), Image.Resampling.BICUBIC)
        if len(faces := finder.detect(photo)) != 1:
            continue
        crop = FaceCrop.around(faces[0][0], photo.size)
        down = np.array([-crop.across[1], crop.across[0]])
        scales.append(crop.side / 320)
        shifts.append((crop.origin + (crop.across + down) / 2) / 320 - 0.5)
        corners = np.stack([crop.origin, crop.origin + crop.across, crop.origin + down, crop.origin + crop.across + down]) / 320
        apart.append(np.hypot(*(corners - [(0, 0), (1, 0), (0, 1), (1, 1)]).T).mean())
    assert len(apart) > 8
    assert abs(np.median(scales) - 1) < 0.05
    assert np.abs(np.median(shifts, 0)).max() < 0.02
    assert np.median(apart) < 0.07
