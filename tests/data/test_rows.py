"""A row becomes a pair whatever its pictures are, or says in one sentence why not."""

from __future__ import annotations

from pathlib import Path

import datasets
import numpy as np
import pytest
from conftest import picture
from PIL import Image

from oneshot_sketch.data import load_pairs, to_pair, to_pairs
from oneshot_sketch.data.rows import FEATURES
from oneshot_sketch.errors import InputError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for seed, name in enumerate(("a", "b")):
        for kind in ("photo", "sketch"):
            (tmp_path / kind).mkdir(exist_ok=True)
            picture(40, 50, seed + (kind == "sketch") * 10).save(tmp_path / kind / f"{name}.png")
    return tmp_path


def test_pairs_are_what_the_files_hold(root: Path) -> None:
    dataset = load_pairs("folder", root)
    first, second = to_pairs(dataset)
    assert (first.name, second.name) == ("a", "b")
    assert np.array_equal(second.photo, picture(40, 50, 1))
    assert np.array_equal(second.sketch, picture(40, 50, 11))
    assert np.array_equal(to_pair(dataset[1]).sketch, second.sketch), "decoded rows too"


def test_nothing_is_opened_before_its_turn(root: Path) -> None:
    (root / "photo/b.png").write_bytes(b"")
    pairs = to_pairs(load_pairs("folder", root))
    assert next(pairs).name == "a"
    with pytest.raises(InputError, match=r"pair b: .*b\.png"):
        next(pairs)


def test_the_stated_licence_reaches_the_pair(root: Path) -> None:
    dataset = load_pairs("folder", root)
    assert next(to_pairs(dataset)).licence is None
    dataset.info.license = "mit"
    assert next(to_pairs(dataset.filter(lambda name: name == "b", input_columns="identity"))).licence == "mit"


def test_grey_transparent_and_turned_pictures_are_welcome(root: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    picture(50, 40, 3).save(root / "photo/a.png", exif=exif)
    picture(40, 50).convert("L").save(root / "sketch/a.png")
    Image.new("RGBA", (40, 50), (0, 0, 0, 0)).save(root / "sketch/b.png")
    turned, clear = to_pairs(load_pairs("folder", root))
    assert np.array_equal(turned.photo, picture(50, 40, 3).transpose(Image.Transpose.ROTATE_270))
    assert turned.sketch.mode == "RGB"
    assert np.asarray(clear.sketch).min() == 255


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:200])


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (Path.unlink, "does not exist"),
        (cut, "truncated"),
        (lambda path: path.write_text("no picture"), "is not a picture"),
        (lambda path: picture(80, 40).save(path), "differ in shape"),
        (lambda path: picture(8, 8).save(path), "under 16"),
    ],
)
def test_bad_pictures_end_in_one_sentence(root: Path, spoil: object, reason: str) -> None:
    dataset = load_pairs("folder", root)
    spoil(root / "sketch/a.png")  # type: ignore[operator]
    with pytest.raises(InputError) as caught:
        next(to_pairs(dataset))
    message = str(caught.value)
    assert message.startswith("pair a: ")
    assert reason in message
    assert "\n" not in message


def test_pictures_inside_the_data_set(root: Path, tmp_path: Path) -> None:
    """As in a data set that came from the Hub or from parquet: bytes, no files."""

    def embedded(column: str, content: bytes | None = None) -> list[dict[str, object]]:
        return [{"path": None, "bytes": content or path.read_bytes()} for path in sorted((root / column).iterdir())]

    columns = {
        "photo": embedded("photo"),
        "sketch": embedded("sketch"),
        "identity": ["a", "b"],
        "style": ["x"] * 2,
        "split": ["all"] * 2,
    }
    dataset = datasets.Dataset.from_dict(columns, features=FEATURES)
    dataset.to_parquet(tmp_path / "pairs.parquet")
    again = datasets.Dataset.from_parquet(str(tmp_path / "pairs.parquet"), cache_dir=str(tmp_path / "cache"))
    assert isinstance(again, datasets.Dataset)
    for ours, theirs in zip(to_pairs(again), to_pairs(load_pairs("folder", root)), strict=True):
        assert np.array_equal(ours.photo, theirs.photo)
        assert np.array_equal(ours.sketch, theirs.sketch)
        assert ours.style == "x"
    broken = datasets.Dataset.from_dict(columns | {"sketch": embedded("sketch", b"\x89PNG nonsense")}, features=FEATURES)
    with pytest.raises(InputError, match="inside the data set cannot be decoded"):
        next(to_pairs(broken))


def test_a_row_without_a_picture() -> None:
    columns = {"photo": [None], "sketch": [None], "identity": ["a"], "style": [None], "split": ["all"]}
    with pytest.raises(InputError, match="pair a: its picture is missing"):
        next(to_pairs(datasets.Dataset.from_dict(columns, features=FEATURES)))


def test_other_columns_are_refused_by_name() -> None:
    dataset = datasets.Dataset.from_dict({"image": ["a.png"], "sketch": ["b.png"]})
    with pytest.raises(InputError, match="no column photo"):
        next(to_pairs(dataset))
    with pytest.raises(InputError, match="no column identity"):
        to_pair({"photo": picture(), "sketch": picture()})
