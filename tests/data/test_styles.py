"""Pairs by style, from wherever people keep them."""

from __future__ import annotations

import csv
import json
from io import BytesIO
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow
import pytest
from on_disk import put_pair
from PIL import Image
from pyarrow import parquet

from oneshot_sketch import InputError
from oneshot_sketch.data.styles import open_dataset, styles_of_dataset, styles_of_folder, styles_of_table


@pytest.fixture
def hands(tmp_path: Path) -> Path:
    for seed, style in enumerate(("ink", "wash")):
        put_pair(tmp_path / "hands" / style, seed)
    return tmp_path / "hands"


def row(root: Path, style: str, name: str = "ada", **more: Any) -> dict[str, Any]:
    """A row whose paths are seen from `root`."""
    return {"photo": f"{style}/photo/{name}.png", "sketch": f"{style}/sketch/{name}.png", "style": style} | more


def write_table(path: Path, rows: list[dict[str, Any]]) -> Path:
    if path.suffix == ".csv":
        with path.open("w", newline="", encoding="utf-8-sig") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    elif path.suffix == ".jsonl":
        path.write_text("\n".join(map(json.dumps, rows)) + "\n\n")
    else:
        parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return path


def same(image: Image.Image, path: Path) -> bool:
    return np.array_equal(np.asarray(image), np.asarray(Image.open(path).convert("RGB")))


# ── folders ──


def test_a_folder_of_pairs_is_one_nameless_style_without_its_test_pairs(tmp_path: Path) -> None:
    put_pair(tmp_path / "plain", 0)
    (pair,) = styles_of_folder(tmp_path / "plain")[""]()
    assert (pair.name, pair.style) == ("ada", None)
    put_pair(tmp_path / "split" / "train", 0)
    put_pair(tmp_path / "split" / "test", 1, "bob")
    assert [pair.name for pair in styles_of_folder(tmp_path / "split")[""]()] == ["ada"]
    put_pair(tmp_path / "tests" / "test", 1)
    with pytest.raises(InputError, match="to test on only"):
        styles_of_folder(tmp_path / "tests")[""]()


def test_a_folder_of_folders_is_a_style_each_and_a_broken_one_spoils_only_itself(hands: Path) -> None:
    (hands / "torn" / "photo").mkdir(parents=True)
    (hands / ".cache").mkdir()
    styles = styles_of_folder(hands)
    assert list(styles) == ["ink", "torn", "wash"]
    (pair,) = styles["wash"]()
    assert (pair.name, pair.style) == ("ada", "wash")
    assert same(pair.photo, hands / "wash" / "photo" / "ada.png")
    with pytest.raises(InputError, match="torn has no folder sketch/"):
        styles["torn"]()


def test_a_folder_of_nothing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="neither photo/ and sketch/ nor folders of styles"):
        styles_of_folder(tmp_path)
    with pytest.raises(InputError, match="does not exist"):
        styles_of_folder(tmp_path / "nowhere")


# ── tables ──


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_a_table_is_read_by_style_with_paths_seen_from_where_it_lies(hands: Path, kind: str) -> None:
    put_pair(hands / "ink", 5, "bob")
    rows = [row(hands, "ink", licence="CC0-1.0"), row(hands, "wash", licence=""), row(hands, "ink", "bob", licence="CC0-1.0")]
    styles = styles_of_table(write_table(hands / f"table.{kind}", rows))
    assert list(styles) == ["ink", "wash"]
    ink = styles["ink"]()
    assert [(pair.name, pair.style, pair.licence) for pair in ink] == [("ada", "ink", "CC0-1.0"), ("bob", "ink", "CC0-1.0")]
    assert same(ink[1].photo, hands / "ink" / "photo" / "bob.png")


def test_names_that_look_like_numbers_stay_names(hands: Path) -> None:
    (hands / "ink").rename(hands / "007")
    assert list(styles_of_table(write_table(hands / "t.csv", [row(hands, "007")]))) == ["007"]
    (hands / "007").rename(hands / "7")
    assert list(styles_of_table(write_table(hands / "t.jsonl", [row(hands, "7") | {"style": 7}]))) == ["7"]


def test_a_parquet_table_may_hold_the_pictures(hands: Path) -> None:
    def bytes_of(path: str) -> dict[str, Any]:
        return {"bytes": (hands / path).read_bytes(), "path": None}

    rows = [{"photo": bytes_of(r["photo"]), "sketch": bytes_of(r["sketch"]), "identity": "ada"} for r in [row(hands, "ink")]]
    (pair,) = styles_of_table(write_table(hands / "table.parquet", rows))[""]()
    assert pair.name == "ada"
    assert same(pair.photo, hands / "ink" / "photo" / "ada.png")


def test_a_missing_picture_spoils_only_its_style(hands: Path) -> None:
    styles = styles_of_table(write_table(hands / "table.csv", [row(hands, "ink"), row(hands, "wash", "bob")]))
    assert len(styles["ink"]()) == 1
    with pytest.raises(InputError, match="bob.png does not exist"):
        styles["wash"]()


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("t.csv", "photo,style\na.png,ink\n", "row 1 .* has no sketch"),
        ("t.csv", "photo,sketch,style\na.png,b.png,ink\na.png,b.png,\n", "row 2 .* has no style"),
        ("t.csv", "photo,sketch,style\n", "holds no rows"),
        ("t.jsonl", '{"photo": "a.png", ', "cannot be read as a table"),
        ("t.jsonl", "[1, 2]\n", "is no object"),
        ("t.parquet", "not Parquet", "cannot be read as a table"),
        ("t.xlsx", "", "ends in .csv, .jsonl, .parquet"),
    ],
)
def test_unusable_tables(tmp_path: Path, name: str, text: str, said: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=said):
        styles_of_table(tmp_path / name)
    with pytest.raises(InputError, match="does not exist"):
        styles_of_table(tmp_path / "nowhere.csv")


# ── data sets ──


def image_bytes(seed: int) -> dict[str, Any]:
    stream = BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (24, 24, 3), np.uint8)).save(stream, "PNG")
    return {"bytes": stream.getvalue(), "path": None}


@pytest.fixture
def dataset() -> datasets.Dataset:
    features = datasets.Features(
        {
            "input_image": datasets.Image(),
            "edited_image": datasets.Image(),
            "hand": datasets.ClassLabel(names=["ink", "wash"]),
            "year": datasets.Value("int64"),
        }
    )
    columns = {
        "input_image": [image_bytes(i) for i in range(3)],
        "edited_image": [image_bytes(i + 3) for i in range(3)],
        "hand": [1, 0, 1],
        "year": [1, 2, 3],
    }
    return datasets.Dataset.from_dict(columns, features)


def test_two_image_columns_by_any_name(dataset: datasets.Dataset) -> None:
    styles = styles_of_dataset(dataset, "input_image", "edited_image", "hand")
    wash = styles["wash"]()
    assert list(styles) == ["wash", "ink"]
    assert [(pair.name, pair.style) for pair in wash] == [("row 1", "wash"), ("row 3", "wash")]
    assert np.array_equal(np.asarray(wash[1].sketch), np.asarray(dataset[2]["edited_image"]))
    assert len(styles_of_dataset(dataset, "input_image", "edited_image")[""]()) == 3
    assert len(styles_of_dataset(dataset, "input_image", "edited_image", most=2)[""]()) == 2


def test_unusable_columns(dataset: datasets.Dataset) -> None:
    with pytest.raises(InputError, match="no column 'photo'; choose from input_image, edited_image"):
        styles_of_dataset(dataset)
    with pytest.raises(InputError, match="'year' holds no pictures"):
        styles_of_dataset(dataset, "input_image", "year")


def test_a_local_parquet_file_an_imagefolder_and_nothing(dataset: datasets.Dataset, tmp_path: Path) -> None:
    cache = str(tmp_path / "cache")
    dataset.to_parquet(str(tmp_path / "pairs.parquet"))
    opened = open_dataset(str(tmp_path / "pairs.parquet"), cache_dir=cache)
    assert [p.name for p in styles_of_dataset(opened, "input_image", "edited_image", "hand")["ink"]()] == ["row 2"]

    put_pair(tmp_path / "folder", 0)
    metadata = {"input_image_file_name": "photo/ada.png", "edited_image_file_name": "sketch/ada.png"}
    (tmp_path / "folder" / "metadata.jsonl").write_text(json.dumps(metadata) + "\n")
    opened = open_dataset(str(tmp_path / "folder"), cache_dir=cache)
    (pair,) = styles_of_dataset(opened, "input_image", "edited_image")[""]()
    assert same(pair.photo, tmp_path / "folder" / "photo" / "ada.png")

    with pytest.raises(InputError, match="nowhere.parquet could not be loaded"):
        open_dataset(str(tmp_path / "nowhere.parquet"), cache_dir=cache)
