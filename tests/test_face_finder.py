"""The embedded face finder on the package's own pictures, and the sentence for a photo that cannot be sketched."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import SHARED, picture
from PIL import Image, ImageOps

from oneshot_sketch.errors import InputError
from oneshot_sketch.face_finder import MINI, EmbeddedFaceFinder, Face, the_face, yaw
from oneshot_sketch.images import list_images, open_image
from oneshot_sketch.models.face_finder import FaceFinderNetwork

ASSETS = Path(__file__).parents[1] / "assets" / "quickstart"
# YuNet's points, which the finder was not trained on here: eyes, nose, mouth.
MARKED = {
    "pair_photo.jpg": [(102.9, 117.7), (158.6, 122.2), (127.6, 153.9), (101.3, 171.7), (151.0, 175.7)],
    "photos/grace_hopper.jpg": [(98.0, 118.2), (156.9, 117.2), (129.5, 152.4), (101.6, 175.5), (153.8, 174.9)],
    "photos/portrait_1.jpg": [(104.4, 121.6), (153.8, 121.4), (130.9, 152.7), (106.3, 173.0), (151.8, 172.9)],
    "photos/portrait_2.jpg": [(98.0, 124.2), (150.8, 124.4), (122.4, 155.0), (101.6, 175.5), (147.7, 175.5)],
    "photos/portrait_3.jpg": [(104.8, 121.7), (158.3, 122.9), (131.3, 156.1), (107.1, 175.8), (154.5, 176.5)],
    "photos/portrait_4.jpg": [(97.0, 126.4), (147.8, 124.2), (122.2, 156.5), (102.2, 176.3), (147.9, 174.5)],
}
# Five points of a head in three dimensions, in distances between its eyes; x to the picture's right, y down, z to the viewer.
HEAD = np.array([(-0.5, -0.4, 0), (0.5, -0.4, 0), (0, 0.15, 0.5), (-0.38, 0.6, 0.0), (0.38, 0.6, 0.0)])
with_data = pytest.mark.skipif(not SHARED.is_dir(), reason="no development data here")
released = pytest.mark.skipif(not MINI.is_dir(), reason="the embedded weights are not released yet")


@pytest.fixture(scope="module")
def finder() -> EmbeddedFaceFinder:
    if not MINI.is_dir():
        pytest.skip("the embedded weights are not released yet")
    return EmbeddedFaceFinder.from_pretrained("mini")


@pytest.fixture(scope="module")
def hopper() -> Image.Image:
    return open_image(ASSETS / "photos/grace_hopper.jpg")


def seen(turn: float, scale: float = 60, centre: tuple[float, float] = (100, 100)) -> np.ndarray:
    """The head's points when it is turned by so many degrees to the picture's right."""
    sine, cosine = np.sin(np.radians(turn)), np.cos(np.radians(turn))
    return scale * np.column_stack([cosine * HEAD[:, 0] + sine * HEAD[:, 2], HEAD[:, 1]]) + centre


def face(turn: float = 0, drawn: float = 0.01, **where: object) -> Face:
    points = seen(turn, **where)  # type: ignore[arg-type]
    return Face(points, 0.9, yaw(points), drawn)


def error(found: np.ndarray, marked: np.ndarray | list[tuple[float, float]]) -> float:
    """Mean distance in distances between the eyes."""
    marked = np.asarray(marked)
    return float(np.linalg.norm(found - marked, axis=1).mean() / np.linalg.norm(marked[1] - marked[0]))


@released
def test_what_ships_is_small_half_precision_and_has_a_card() -> None:
    assert (MINI / "diffusion_pytorch_model.safetensors").stat().st_size <= 1.2e6
    assert (MINI / "README.md").is_file()
    network = FaceFinderNetwork.from_pretrained(MINI, torch_dtype=torch.float16)
    assert network.dtype == torch.float16


@pytest.mark.parametrize("name", MARKED)
def test_it_finds_the_five_points_of_the_quickstarts_photos(finder: EmbeddedFaceFinder, name: str) -> None:
    found = the_face(finder.find(open_image(ASSETS / name)), name)
    assert (found.points.shape, found.points.dtype) == ((5, 2), np.float64)
    assert error(found.points, MARKED[name]) < 0.08
    assert abs(found.yaw - yaw(np.array(MARKED[name]))) < 15


def test_its_own_sketch_is_a_drawing(finder: EmbeddedFaceFinder) -> None:
    faces = finder.find(open_image(ASSETS / "pair_sketch.png"))
    assert len(faces) == 1
    with pytest.raises(InputError, match=r"the face in pair_sketch.png is drawn, not photographed; give the photo"):
        the_face(faces, "pair_sketch.png")


def test_points_follow_the_photo(finder: EmbeddedFaceFinder, hopper: Image.Image) -> None:
    points = the_face(finder.find(hopper)).points
    mirrored = the_face(finder.find(ImageOps.mirror(hopper))).points
    assert error(np.column_stack([255 - mirrored[:, 0], mirrored[:, 1]])[[1, 0, 2, 4, 3]], points) < 0.05
    larger = the_face(finder.find(hopper.resize((1600, 1600), Image.Resampling.BICUBIC))).points
    assert error((larger + 0.5) * 256 / 1600 - 0.5, points) < 0.05
    smaller = the_face(finder.find(hopper.resize((96, 96), Image.Resampling.LANCZOS))).points
    assert error((smaller + 0.5) * 256 / 96 - 0.5, points) < 0.08
    wall = Image.new("RGB", (700, 500), (180, 170, 160))
    wall.paste(hopper, (300, 200))
    assert error(the_face(finder.find(wall)).points - (300, 200), points) < 0.08


@pytest.mark.parametrize("angle", [-30, 30])
def test_a_tilted_head_is_found(finder: EmbeddedFaceFinder, hopper: Image.Image, angle: int) -> None:
    points = the_face(finder.find(hopper)).points
    tilted = hopper.rotate(angle, Image.Resampling.BICUBIC, fillcolor=(90, 90, 90))
    turn = np.exp(-1j * np.radians(angle))
    expected = turn * ((points - 127.5) @ (1, 1j))
    found = the_face(finder.find(tilted))
    assert error(found.points, np.column_stack([expected.real, expected.imag]) + 127.5) < 0.08


@pytest.mark.parametrize("change", ["grey", "dark", "transparent", "coarse"])
def test_colour_light_and_mode_do_not_matter(finder: EmbeddedFaceFinder, hopper: Image.Image, change: str) -> None:
    changed = {
        "grey": hopper.convert("L"),
        "dark": hopper.point(lambda level: level // 4),
        "transparent": hopper.convert("RGBA"),
        "coarse": hopper.quantize(64),
    }[change]
    assert error(the_face(finder.find(changed)).points, MARKED["photos/grace_hopper.jpg"]) < 0.1


def test_same_photo_same_answer(finder: EmbeddedFaceFinder, hopper: Image.Image) -> None:
    again = EmbeddedFaceFinder.from_pretrained(MINI).find(hopper)
    assert np.array_equal(finder.find(hopper)[0].points, again[0].points)


@pytest.mark.parametrize("kind", ["white", "smooth", "noise", "stripes"])
def test_no_face(finder: EmbeddedFaceFinder, kind: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (200, 250, 3), np.uint8)
    pictures = {
        "white": Image.new("RGB", (200, 250), "white"),
        "smooth": picture(250, 200),
        "noise": Image.fromarray(noise),
        "stripes": Image.fromarray(
            np.broadcast_to(np.arange(250, dtype=np.uint8)[None, :, None] // 16 * 60, (200, 250, 3)).copy()
        ),
    }
    with pytest.raises(InputError, match=r"a\.jpg shows no face; choose a photo with one face"):
        the_face(finder.find(pictures[kind]), "a.jpg")


def test_two_faces_are_counted_and_refused(finder: EmbeddedFaceFinder, hopper: Image.Image) -> None:
    both = Image.new("RGB", (512, 256))
    both.paste(hopper)
    both.paste(open_image(ASSETS / "photos/portrait_2.jpg"), (256, 0))
    faces = finder.find(both)
    left, right = sorted((one.points for one in faces), key=lambda points: points[0, 0])
    assert error(left, MARKED["photos/grace_hopper.jpg"]) < 0.08
    assert error(right - (256, 0), MARKED["photos/portrait_2.jpg"]) < 0.08
    with pytest.raises(InputError, match="two.jpg shows 2 faces of like size where one is needed; crop it"):
        the_face(faces, "two.jpg")


def test_extreme_shapes_are_no_error(finder: EmbeddedFaceFinder) -> None:
    assert finder.find(Image.new("RGB", (4000, 16), "white")) == []
    assert finder.find(Image.new("L", (16, 16))) == []


@pytest.mark.parametrize("turn", range(-60, 61, 15))
def test_yaw_is_the_angle_a_head_is_turned_by(turn: int) -> None:
    points = seen(turn)
    assert yaw(points) == pytest.approx(turn, abs=1)
    tilted = (points - 100) @ np.array([[0.9, -0.4], [0.4, 0.9]])
    assert yaw(tilted) == pytest.approx(turn, abs=1)


def test_yaw_of_a_full_profile_is_large_and_finite() -> None:
    assert yaw(seen(90)) > 80
    assert yaw(seen(-100)) < -80
    assert np.isfinite(yaw(np.zeros((5, 2))))


def test_the_face_is_the_only_large_one() -> None:
    main, small = face(), face(scale=25, centre=(300, 60))
    assert the_face([small, main]) is main
    with pytest.raises(InputError, match="2 faces of like size"):
        the_face([main, face(scale=40, centre=(300, 60))])
    with pytest.raises(InputError, match="3 faces of like size"):
        the_face([main, main, face(scale=40)])


def test_a_turned_head_is_refused_and_a_slightly_turned_one_is_not() -> None:
    assert the_face([face(30)]).yaw > 0
    assert the_face([face(-30)]).yaw < 0
    for turn in (-60, 60):
        with pytest.raises(
            InputError, match=r"the face in a.jpg is turned by about 60°, more than the 40° .* more from the front"
        ):
            the_face([face(turn)], "a.jpg")


def test_a_drawn_passer_by_does_not_matter() -> None:
    assert the_face([face(), replace(face(scale=20, centre=(300, 60)), drawn=0.99)]).drawn < 0.5
    with pytest.raises(InputError, match="drawn, not photographed"):
        the_face([face(drawn=0.99)])


def test_every_refusal_is_one_sentence() -> None:
    for faces in ([], [face(), face()], [face(50)], [face(drawn=1)]):
        with pytest.raises(InputError) as refused:
            the_face(faces, "a photo")
        message = str(refused.value)
        assert message.endswith(".")
        assert ". " not in message
        assert "; " in message


@released
def test_unusable_weights_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match='is no folder with a face finder; give "mini"'):
        EmbeddedFaceFinder.from_pretrained(tmp_path / "nowhere")
    with pytest.raises(InputError, match="could not be loaded as a face finder"):
        EmbeddedFaceFinder.from_pretrained(tmp_path)
    (tmp_path / "config.json").write_bytes((MINI / "config.json").read_bytes())
    weights = (MINI / "diffusion_pytorch_model.safetensors").read_bytes()
    (tmp_path / "diffusion_pytorch_model.safetensors").write_bytes(weights[: len(weights) // 2])
    with pytest.raises(InputError, match="could not be loaded as a face finder"):
        EmbeddedFaceFinder.from_pretrained(tmp_path)
    with pytest.raises(InputError, match="between 0 and 1, not 2"):
        EmbeddedFaceFinder.from_pretrained("mini", threshold=2)


@with_data
@pytest.mark.parametrize("studio", ["cuhk_student", "ar"])
def test_photos_and_drawings_of_studios_never_seen_are_told_apart(finder: EmbeddedFaceFinder, studio: str) -> None:
    for kind, drawn in (("photo", False), ("sketch", True)):
        faces = [finder.find(open_image(path)) for path in list_images(SHARED / "cufs" / studio / kind)[::8]]
        assert np.mean([len(found) == 1 for found in faces]) > 0.9
        assert np.mean([(found[0].drawn > 0.5) == drawn for found in faces if found]) > 0.9


@with_data
def test_points_agree_with_yunets_on_photos_never_seen(finder: EmbeddedFaceFinder) -> None:
    """As far as YuNet agrees with itself: a photo's points and its mirror image's are 3 to 4 % off their average each."""
    from oneshot_sketch.data import YuNet

    yunet = YuNet(SHARED / "weights/yunet/yunet_n_320_320.onnx")
    photos = [open_image(path) for path in list_images(SHARED / "cufs/ar/photo")[::12]]
    errors = []
    for photo in photos:
        mirrored = yunet(ImageOps.mirror(photo)) * (-1, 1) + (photo.width - 1, 0)
        errors.append(error(the_face(finder.find(photo)).points, (yunet(photo) + mirrored[[1, 0, 2, 4, 3]]) / 2))
    assert np.mean(errors) < 0.08
    assert max(errors) < 0.16
