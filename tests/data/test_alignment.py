"""A sketch that was turned, scaled and shifted is laid back over its photo."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from conftest import SHARED, picture
from PIL import Image
from skimage.transform import SimilarityTransform

from oneshot_sketch import PhotoSketchPair
from oneshot_sketch.data import YuNet, align, load_pairs, to_pairs
from oneshot_sketch.data.alignment import paper_colour, similarity, warp
from oneshot_sketch.errors import InputError

FACE = np.array([[75.0, 110.0], [125.0, 112.0], [99.0, 135.0], [80.0, 155.0], [121.0, 156.0]])
PAPER = (240, 230, 200)


def motion(scale: float, degrees: float, x: float, y: float) -> np.ndarray:
    a = scale * np.exp(1j * np.deg2rad(degrees))
    return np.array([[a.real, -a.imag, x], [a.imag, a.real, y]])


def moved(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    return points @ matrix[:, :2].T + matrix[:, 2]


def drawing(width: int = 200, height: int = 250, seed: int = 5) -> Image.Image:
    """Something smooth in the middle of tinted paper."""
    sheet = Image.new("RGB", (width, height), PAPER)
    sheet.paste(picture(100, 130, seed), (50, 60))
    return sheet


def difference(a: Image.Image, b: Image.Image, border: int = 4) -> float:
    x, y = (np.asarray(image, float)[border:-border, border:-border] for image in (a, b))
    return float(np.abs(x - y).mean())


# ── the fit, against other people's ──


@pytest.mark.parametrize("seed", range(5))
def test_the_fit_is_that_of_skimage(seed: int) -> None:
    rng = np.random.default_rng(seed)
    targets = moved(FACE, motion(*rng.uniform((0.3, -60, -50, -50), (3, 60, 50, 50)))) + rng.normal(0, 3, FACE.shape)
    theirs = SimilarityTransform.from_estimate(FACE, targets).params[:2]
    assert np.allclose(similarity(FACE, targets), theirs, atol=1e-8)


@pytest.mark.parametrize(("scale", "degrees"), [(1.0, 0.0), (2.5, 30.0), (0.4, -75.0)])
def test_the_fit_is_that_of_opencv_where_all_points_agree(scale: float, degrees: float) -> None:
    """OpenCV's is robust: on points that disagree it would drop some."""
    targets = moved(FACE, motion(scale, degrees, 12, -7))
    theirs, _ = cv2.estimateAffinePartial2D(FACE, targets)
    assert np.allclose(similarity(FACE, targets), theirs, atol=1e-4)


def test_it_never_mirrors() -> None:
    fitted = similarity(FACE, FACE * (-1, 1))
    assert np.linalg.det(fitted[:, :2]) > 0


# ── the warp, against OpenCV's ──


@pytest.mark.parametrize("degrees", [0.0, 20.0, -50.0])
def test_the_warp_is_opencvs(degrees: float) -> None:
    image, matrix = drawing(), motion(1.3, degrees, 20.5, 5.25)
    theirs = cv2.warpAffine(np.asarray(image), matrix, (260, 300), flags=cv2.INTER_CUBIC, borderValue=PAPER)
    assert difference(warp(image, matrix, (260, 300), PAPER), Image.fromarray(theirs)) < 1.5


def test_shrinking_averages() -> None:
    """Fine hatching becomes grey, not a pattern."""
    hatching = Image.fromarray(np.tile(np.array([[0, 0, 255]], np.uint8).repeat(3, 0).T, (100, 100))).convert("RGB")
    shrunk = np.asarray(warp(hatching, motion(0.2, 0, 0, 0), (60, 60), (0, 0, 0)), float)[5:-5, 5:-5]
    assert np.abs(shrunk - 85).max() < 12
    assert difference(warp(drawing(), motion(0.25, 0, -0.375, -0.375), (50, 62), PAPER), drawing().resize((50, 62))) < 3


# ── the whole ──


@pytest.mark.parametrize(
    ("scale", "degrees", "size"), [(1.0, 12.0, (260, 320)), (2.0, -25.0, (640, 640)), (0.8, 5.0, (200, 250))]
)
def test_a_misplaced_sketch_comes_back(scale: float, degrees: float, size: tuple[int, int]) -> None:
    photo, truth = picture(200, 250, 1), drawing()
    place = motion(scale, degrees, 40 * scale, 30 * scale)
    misplaced = warp(truth, place, size, PAPER)
    kept, back = align(photo, misplaced, (FACE, moved(FACE, place)))
    assert np.array_equal(kept, photo), "the photo stays"
    assert difference(back, truth, border=10) < 3
    assert difference(misplaced.resize(truth.size), truth, border=10) > 10, "or there was nothing to align"
    assert PhotoSketchPair(kept, back).sketch.size == (200, 250)


def test_borders_get_the_colour_of_the_paper() -> None:
    sketch = drawing(120, 150)
    points = (FACE - 50) * 0.9
    _, back = align(picture(200, 250), sketch, (FACE, points))
    corners = np.asarray(back)[[0, 0, -1, -1], [0, -1, 0, -1]]
    assert np.abs(corners.astype(int) - PAPER).max() <= 2
    assert paper_colour(sketch) == PAPER


def test_a_head_is_never_cut_off() -> None:
    """A photo that ends above the brows and a sketch of the whole head: the canvas grows upwards."""
    photo, sketch = picture(200, 250, 1).crop((0, 100, 200, 250)), drawing()
    sketch.paste((200, 0, 0), (60, 25, 140, 45))  # hair
    grown, laid = align(photo, sketch, (FACE - (0, 100), FACE))
    added = grown.height - photo.height
    assert grown.size == laid.size
    assert added > 70, "twice the distance from eyes to mouth"
    hair = np.asarray(laid)[35 - (100 - added), 100]
    assert np.abs(hair.astype(int) - (200, 0, 0)).max() <= 6
    below = grown.crop((0, added, 200, grown.height))
    assert np.array_equal(below, photo)
    assert np.array_equal(np.asarray(grown)[0], np.asarray(photo)[0]), "its edge is repeated, not blackened"


def test_a_few_pixels_do_not_grow_the_canvas() -> None:
    photo = picture(100, 125, 1)
    grown, _ = align(photo, picture(100, 125, 2), (FACE / 2, FACE / 2 + 2))
    assert grown.size == photo.size


def test_any_function_finds_the_points() -> None:
    photo, sketch = picture(200, 250, 1), drawing()
    _, by_function = align(photo, sketch, lambda image: FACE)
    assert difference(by_function, align(photo, sketch, (FACE, FACE))[1]) < 0.2


def test_a_turned_face_is_looked_at_again_when_it_is_upright() -> None:
    """A detector that sees half of a turn and of a shift: the second look sees half of what the first left."""
    truth, place = drawing(), motion(1.0, 16, 20, -10)
    turns = []

    def half_blind(image: Image.Image) -> np.ndarray:
        turns.append(image)
        if len(turns) == 1:
            return FACE
        return moved(FACE, motion(1.0, 8, 10, -5)) if len(turns) == 2 else FACE

    photo, turned = picture(200, 250, 1), warp(truth, place, (200, 250), PAPER)
    _, back = align(photo, turned, half_blind)
    assert len(turns) == 3
    expected = warp(turned, similarity(moved(FACE, motion(1.0, 8, 10, -5)), FACE), (200, 250), PAPER)
    assert difference(turns[2], expected) < 1e-9
    assert difference(back, expected) < 1e-9


def test_grey_and_transparent_pictures_are_laid_on_white() -> None:
    photo, sketch = picture(200, 250).convert("L"), Image.new("RGBA", (200, 250), (0, 0, 0, 0))
    kept, laid = align(photo, sketch, (FACE, FACE))
    assert (kept.mode, laid.mode) == ("RGB", "RGB")
    assert np.asarray(laid).min() == 255


@pytest.mark.parametrize(
    ("points", "reason"),
    [
        (FACE[:4], "five finite points"),
        (FACE * np.nan, "five finite points"),
        ("eyes", "five pairs of numbers"),
        (FACE[[1, 0, 2, 4, 3]], "no face in this order"),
        (FACE * 0 + 7, "no face in this order"),
        (FACE * 100, "not of one face"),
        (FACE * (4, 1), "not of one face"),
    ],
)
def test_bad_points_end_in_one_sentence(points: object, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        align(picture(200, 250), drawing(), (FACE, points))  # type: ignore[arg-type]


def test_it_says_in_which_picture_no_face_was_found() -> None:
    def blind(image: Image.Image) -> np.ndarray:
        if image.size == (200, 250):
            return FACE
        raise InputError("no face here.")

    with pytest.raises(InputError, match="in the sketch, no face here"):
        align(picture(200, 250), picture(64, 64), blind)


@pytest.mark.skipif(not SHARED.is_dir(), reason="no development data here")
def test_real_sketches_come_back() -> None:
    """Turned by twelve degrees and grown by a half, YuNet brings them back to about a hundredth of the frame."""
    faces, place, errors = YuNet(SHARED / "weights/yunet/yunet_n_320_320.onnx"), motion(1.5, 12, 60, 20), []
    for pair in to_pairs(load_pairs("cufs", SHARED / "cufs").select([20, 120, 220, 300])):
        misplaced = warp(pair.sketch, place, (420, 460), paper_colour(pair.sketch))
        kept, back = align(pair.photo, misplaced, faces)
        assert kept.size == back.size == pair.photo.size
        left = similarity(faces(back), faces(pair.sketch))  # what is left to move
        errors.append(np.abs(moved(FACE, left) - FACE).mean())
    assert np.mean(errors) < 3
