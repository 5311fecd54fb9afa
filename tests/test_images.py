"""Every way a picture arrives, and the one form in which it leaves."""

from __future__ import annotations

import binascii
import io
import json
import math
import struct
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from oneshot_sketch.errors import InputError
from oneshot_sketch.images import fitted_size, grey, list_images, open_image, save_png, square, to_pil, to_rgb, to_tensor

ORIENTATION = 0x0112


def gradient(width: int = 24, height: int = 20) -> Image.Image:
    """A picture that no turn or mirror leaves alike."""
    y, x = np.mgrid[:height, :width]
    return Image.fromarray(np.stack([x * 10, y * 12, x * y], -1).astype(np.uint8))


def png_claiming(path: Path, width: int, height: int) -> Path:
    """A PNG of a hundred bytes whose header promises any size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", binascii.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b""))
    return path


# ── reading ──


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_turned_upright(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    gradient().save(tmp_path / "turned.png", exif=exif)
    upright = open_image(tmp_path / "turned.png")
    with Image.open(tmp_path / "turned.png") as turned:
        expected = ImageOps.exif_transpose(turned)
    assert np.array_equal(upright, expected)
    assert np.array_equal(to_rgb(upright), expected), "and not a second time"


@pytest.mark.parametrize(("tag", "kind"), [(0x0100, 2), (0x010E, 12), (0x011A, 1), (0x8769, 2)])
def test_malformed_metadata_does_not_cost_the_picture(tmp_path: Path, tag: int, kind: int) -> None:
    entries = sorted([(ORIENTATION, 3, 1, b"\6\0\0\0"), (tag, kind, 1, b"\1\0\0\0")])
    exif = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", 2) + b"".join(struct.pack("<HHI4s", *e) for e in entries) + bytes(4)
    gradient().save(tmp_path / "odd.png", exif=exif)
    assert np.array_equal(open_image(tmp_path / "odd.png"), gradient().transpose(Image.Transpose.ROTATE_270))
    gradient().save(tmp_path / "garbage.png", exif=b"Exif\0\0nonsense")
    assert np.array_equal(open_image(tmp_path / "garbage.png"), gradient())


@pytest.mark.parametrize("name", ["a.png", "a.webp", "a.tiff"])
def test_transparency_is_laid_on_white(tmp_path: Path, name: str) -> None:
    picture = gradient().convert("RGBA")
    alpha = np.zeros((20, 24), np.uint8)
    alpha[:, 8:16], alpha[:, 16:] = 128, 255
    picture.putalpha(Image.fromarray(alpha))
    picture.save(tmp_path / name, **({"lossless": True, "exact": True} if name == "a.webp" else {}))
    read = np.asarray(open_image(tmp_path / name)).astype(int)
    colour = np.asarray(gradient()).astype(int)
    assert (read[:, :8] == 255).all()
    assert np.abs(read[:, 8:16] - (255 * 127 + colour[:, 8:16] * 128) / 255).max() <= 1
    assert np.array_equal(read[:, 16:], colour[:, 16:])


def test_grey_with_alpha_and_one_bit(tmp_path: Path) -> None:
    Image.new("LA", (16, 16), (0, 0)).save(tmp_path / "clear.png")
    assert np.asarray(open_image(tmp_path / "clear.png")).min() == 255
    Image.new("1", (16, 16), 1).save(tmp_path / "bit.png")
    assert np.asarray(open_image(tmp_path / "bit.png")).min() == 255


def test_grey_becomes_three_equal_channels(tmp_path: Path) -> None:
    gradient().convert("L").save(tmp_path / "grey.jpg", quality=100)
    read = np.asarray(open_image(tmp_path / "grey.jpg"))
    assert read.shape == (20, 24, 3)
    assert (read == read[..., :1]).all()


def test_cmyk_keeps_its_colours(tmp_path: Path) -> None:
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(tmp_path / "red.jpg", quality=100)
    red = np.asarray(open_image(tmp_path / "red.jpg")).astype(int)
    assert np.abs(red - [255, 0, 0]).max() <= 4


def test_palette_with_transparency(tmp_path: Path) -> None:
    palette = Image.new("P", (16, 16), 0)
    palette.putpalette([255, 0, 0, 0, 0, 255])
    palette.paste(1, (8, 0, 16, 16))
    palette.save(tmp_path / "palette.png", transparency=0)
    read = np.asarray(open_image(tmp_path / "palette.png"))
    assert (read[:, :8] == 255).all(), "the transparent colour is white now"
    assert (read[:, 8:] == [0, 0, 255]).all()


def test_colour_key_transparency(tmp_path: Path) -> None:
    Image.new("RGB", (16, 16), (1, 2, 3)).save(tmp_path / "key.png", transparency=(1, 2, 3))
    assert np.asarray(open_image(tmp_path / "key.png")).min() == 255


@pytest.mark.parametrize("name", ["deep.png", "deep.tif"])
def test_sixteen_bits_span_the_same_range(tmp_path: Path, name: str) -> None:
    values = np.repeat(np.linspace(0, 65535, 256).astype(np.uint16)[None], 16, 0)
    Image.fromarray(values).save(tmp_path / name)
    read = np.asarray(open_image(tmp_path / name))
    assert np.array_equal(read[0, :, 0], np.arange(256))


def test_floating_point_pixels_are_refused_in_a_file(tmp_path: Path) -> None:
    """Their range is anybody's guess, and NaN may be among them."""
    for value in (0.5, 200.0, math.nan):
        Image.fromarray(np.full((16, 16), value, np.float32)).save(tmp_path / "float.tiff")
        with pytest.raises(InputError, match=r"float\.tiff.*floating"):
            open_image(tmp_path / "float.tiff")


def test_first_frame_of_an_animation(tmp_path: Path) -> None:
    Image.new("RGB", (16, 16), "red").save(tmp_path / "a.gif", save_all=True, append_images=[Image.new("RGB", (16, 16), "blue")])
    assert open_image(tmp_path / "a.gif").getpixel((0, 0)) == (255, 0, 0)


def test_a_wrong_suffix_does_not_matter(tmp_path: Path) -> None:
    gradient().save(tmp_path / "picture.jpg", format="PNG")
    assert np.array_equal(open_image(str(tmp_path / "picture.jpg")), gradient())


def unusable(folder: Path, kind: str) -> Path:
    path = folder / f"{kind}.png"
    if kind == "folder":
        path.mkdir()
    elif kind == "text":
        path.write_text("this is not a picture\n")
    elif kind == "empty":
        path.touch()
    elif kind == "truncated":
        whole = io.BytesIO()
        gradient(400, 400).save(whole, "JPEG")
        path.write_bytes(whole.getvalue()[: len(whole.getvalue()) // 2])
    elif kind == "postscript":
        path.write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 32 32\n%%EndComments\nshowpage\n")
    elif kind == "huge":
        png_claiming(path, 40_000, 40_000)
    elif kind == "large":
        png_claiming(path, 12_000, 12_000)
    elif kind == "tiny":
        Image.new("RGB", (15, 400)).save(path)
    return path


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("missing", "does not exist"),
        ("folder", "is a folder"),
        ("text", "not a picture"),
        ("empty", "not a picture"),
        ("truncated", "truncated"),
        ("postscript", "not a picture"),
        ("huge", "100 megapixels"),
        ("large", "100 megapixels"),
        ("tiny", "15×400 pixels, under 16"),
    ],
)
def test_unusable_files_are_refused_in_one_sentence_that_names_them(tmp_path: Path, kind: str, reason: str) -> None:
    path = unusable(tmp_path, kind)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(InputError, match=reason) as caught:
            open_image(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert message.endswith(".")
    assert "\n" not in message


def test_no_permission_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object, **_kwargs: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Image, "open", refuse)
    with pytest.raises(InputError, match=r"locked\.png.*Permission denied"):
        open_image(tmp_path / "locked.png")


def encoded(kind: str) -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    exif[0x010E] = "a description"
    whole = io.BytesIO()
    gradient().save(whole, kind, **({} if kind in ("BMP", "GIF", "PPM") else {"exif": exif}))
    return whole.getvalue()


@settings(max_examples=150)
@given(
    kind=st.sampled_from(["PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF"]),
    damage=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=6),
    kept=st.one_of(st.just(1.0), st.floats(0, 1)),
)
def test_damaged_files_give_a_picture_or_an_input_error(
    tmp_path_factory: pytest.TempPathFactory, kind: str, damage: list[tuple[float, int]], kept: float
) -> None:
    data = bytearray(encoded(kind))
    for place, value in damage:
        data[int(place * len(data))] = value
    path = tmp_path_factory.getbasetemp() / "damaged"
    path.write_bytes(data[: int(kept * len(data))])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            picture = open_image(path)
        except InputError as error:
            assert str(path) in str(error)
        else:
            assert picture.mode == "RGB"


# ── arrays and tensors ──


def test_arrays_of_every_accepted_shape() -> None:
    rgb = np.asarray(gradient())
    assert np.array_equal(to_rgb(rgb), rgb)
    assert np.array_equal(to_rgb(rgb / 255), rgb)
    assert np.array_equal(to_rgb((rgb / 255).astype(np.float32)), rgb)
    assert np.array_equal(np.asarray(to_rgb(rgb[..., 0]))[..., 2], rgb[..., 0])
    assert np.array_equal(np.asarray(to_rgb(rgb[..., :1]))[..., 1], rgb[..., 0])
    clear = np.concatenate([rgb, np.zeros_like(rgb[..., :1])], -1)
    assert np.asarray(to_rgb(clear)).min() == 255
    assert np.asarray(to_rgb(np.full((16, 16), 7.5))).min() == 255, "beyond the range is clipped"


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.full((16, 16, 3), np.nan), "NaN"),
        (np.full((16, 16), np.inf), "infinite"),
        (np.zeros((16, 16, 2)), "shape|must be"),
        (np.zeros(16), "must be"),
        (np.zeros((1, 16, 16, 3)), "must be"),
        (np.zeros((16, 16, 3), np.int64), "int64"),
        (np.zeros((16, 16), bool), "bool"),
        (np.zeros((15, 16, 3), np.uint8), "under 16"),
        (np.zeros((0, 16, 3), np.uint8), "under 16|empty"),
    ],
)
def test_unusable_arrays_are_refused(array: np.ndarray, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        to_rgb(array)


@pytest.mark.parametrize(
    "mode", ["1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV", "LAB", "I", "I;16"]
)
def test_every_mode_becomes_rgb(mode: str) -> None:
    picture = to_rgb(Image.new(mode, (16, 17)))
    assert (picture.mode, picture.size) == ("RGB", (16, 17))


def test_pictures_survive_the_tensor_exactly() -> None:
    every_level = Image.fromarray(np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3))
    tensor = to_tensor(every_level)
    assert tensor.shape == (1, 3, 16, 16)
    assert tensor.dtype == torch.float32
    assert (tensor.min().item(), tensor.max().item()) == (-1.0, 1.0)
    assert np.array_equal(to_pil(tensor)[0], every_level)
    assert np.array_equal(to_rgb(tensor[0]), every_level)
    both = to_tensor([gradient(), ImageOps.mirror(gradient())])
    assert torch.equal(both[0], both[1].flip(-1))


def test_tensors_are_clipped_and_grey_is_spread() -> None:
    picture = to_pil(torch.tensor([-9.0, 9.0]).repeat(8).expand(1, 1, 16, 16))[0]
    assert picture.mode == "RGB"
    assert set(np.unique(picture)) == {0, 255}
    assert len(to_pil(torch.zeros(3, 3, 16, 16, dtype=torch.bfloat16, requires_grad=True))) == 3


@pytest.mark.parametrize(
    ("tensor", "reason"),
    [
        (torch.full((1, 3, 16, 16), torch.nan), "NaN"),
        (torch.full((1, 3, 16, 16), torch.inf), "infinite"),
        (torch.zeros(3, 16, 16), "must be"),
        (torch.zeros(1, 4, 16, 16), "must be"),
        (torch.zeros(1, 3, 16, 16, dtype=torch.uint8), "uint8"),
    ],
)
def test_unusable_tensors_are_refused(tensor: torch.Tensor, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        to_pil(tensor)


def test_one_picture_means_one() -> None:
    with pytest.raises(InputError, match="one"):
        to_rgb(torch.zeros(2, 3, 16, 16))


def test_grey_is_pillows_luma() -> None:
    expected = np.asarray(gradient().convert("L")).astype(float)
    actual = (grey(to_tensor(gradient()))[0, 0].numpy() + 1) * 127.5
    assert np.abs(actual - expected).max() <= 1


# ── sizes ──


@given(
    width=st.integers(16, 8000),
    height=st.integers(16, 8000),
    resolution=st.integers(32, 1024),
    multiple=st.sampled_from([2, 8, 16]),
)
def test_fitted_sizes_keep_shape_and_area(width: int, height: int, resolution: int, multiple: int) -> None:
    fitted = fitted_size((width, height), resolution, multiple)
    assert all(side % multiple == 0 and side >= multiple for side in fitted)
    assert fitted_size((height, width), resolution, multiple) == fitted[::-1]
    exact = (resolution * (width / height) ** 0.5, resolution * (height / width) ** 0.5)
    for side, wanted in zip(fitted, exact, strict=True):
        assert abs(side - wanted) <= multiple / 2 + 1e-6 or side == multiple


@given(side=st.integers(4, 200))
def test_a_size_that_fits_is_left_alone(side: int) -> None:
    assert fitted_size((side * 8, side * 8), side * 8) == (side * 8, side * 8)


def test_square_is_the_centre() -> None:
    wide = Image.new("RGB", (48, 16), "red")
    wide.paste("blue", (16, 0, 32, 16))
    assert np.array_equal(square(wide, 16), Image.new("RGB", (16, 16), "blue"))
    assert square(wide.resize((16, 48)), 20).size == (20, 20)


# ── writing ──


def test_png_carries_its_text(tmp_path: Path) -> None:
    text = json.dumps({"text": "ein Bleistift — 鉛筆", "quote": '"'}, ensure_ascii=False)
    save_png(gradient(), tmp_path / "new" / "a.png", {"oneshot_sketch": text})
    with Image.open(tmp_path / "new" / "a.png") as read:
        assert read.text == {"oneshot_sketch": text}  # type: ignore[attr-defined]
        assert np.array_equal(read, gradient())
    save_png(gradient(), tmp_path / "plain.png")
    with Image.open(tmp_path / "plain.png") as read:
        assert not read.text  # type: ignore[attr-defined]


def test_png_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    save_png(gradient(), path)
    before = path.read_bytes()

    def half(_image: Image.Image, part: Path, **_kwargs: object) -> None:
        part.write_bytes(before[:40])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", half)
    with pytest.raises(InputError, match=r"a\.png could not be written \(No space left on device\)"):
        save_png(gradient().rotate(90), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_listing_takes_visible_pictures_by_name(tmp_path: Path) -> None:
    for name in ("b.JPG", "a.png", ".hidden.png", "notes.txt", "c.webp", ".d.png.1234.part"):
        (tmp_path / name).touch()
    assert [path.name for path in list_images(tmp_path)] == ["a.png", "b.JPG", "c.webp"]
