from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from on_disk import contents
from PIL import Image
from small_sketch_to_photo import pipeline, put_networks
from tiny_stylegan import drawn_face

from oneshot_sketch.data import load_pairs

RECIPES = Path(__file__).parent.parent / "recipes"


def execute(recipe: str, *words: object) -> int:
    """As `python recipes/…` does; the exit code."""
    arguments = sys.argv
    sys.argv = [recipe, *map(str, words)]
    try:
        runpy.run_path(str(RECIPES / f"{recipe}.py"), run_name="__main__")
    except SystemExit as error:
        return int(error.code or 0)
    finally:
        sys.argv = arguments
    return 0


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return put_networks(tmp_path_factory.mktemp("networks"))


def test_generated_pairs_are_a_data_set_and_the_same_after_a_stop(networks: Path, tmp_path: Path) -> None:
    words = [f"--{part}={networks / part}" for part in ("generator", "sketch_generator")]
    assert execute("draw_generated_pairs", *words, "--count=5", f"--output={tmp_path / 'a'}") == 0
    rows = load_pairs("folder", tmp_path / "a")
    assert len(rows) == 5 and rows[0]["photo"].size == rows[0]["sketch"].size == (32, 32)
    whole = contents(tmp_path / "a")
    assert len(set(whole.values())) == 10
    execute("draw_generated_pairs", *words, "--count=3", f"--output={tmp_path / 'b'}")
    (tmp_path / "b/sketch/00001.png").unlink()
    assert execute("draw_generated_pairs", *words, "--count=5", f"--output={tmp_path / 'b'}") == 0
    assert contents(tmp_path / "b") == whole
    execute("draw_generated_pairs", *words, "--count=5", "--seed=3", f"--output={tmp_path / 'c'}")
    assert not set(contents(tmp_path / "c").values()) & set(whole.values())


def test_a_redrawn_sketch_keeps_the_tail(tmp_path: Path, networks: Path) -> None:
    redrawn: Any = runpy.run_path(str(RECIPES / "edit_by_redrawing.py"))["redrawn"]
    pipe, states = pipeline(), [drawn_face(seed, 32).convert("RGB") for seed in (0, 1, 0)]
    latents = []

    def kept(*args: Any, **keywords: Any) -> Any:
        output = pipe(*args, **keywords)
        latents.append(output.latents)
        return output

    photos = redrawn(kept, states, seed=3)
    predicted = pipe.mapper.config["max_predicted"]
    assert torch.equal(latents[0][:, predicted:], latents[0][:1, predicted:].expand(3, -1, -1))
    assert not torch.equal(latents[0][0, :predicted], latents[0][1, :predicted])
    assert np.array_equal(photos[0], photos[2]) and not np.array_equal(photos[0], photos[1])
    assert not np.array_equal(redrawn(kept, states[:1], seed=4)[0], photos[0])

    for name, state in zip(("before", "after"), states, strict=False):
        state.save(tmp_path / f"{name}.png")
    words = ["--pipeline", networks / "autoregressive", "--sketch", tmp_path / "before.png", "--seed", 3]
    assert execute("edit_by_redrawing", *words, "--edited", tmp_path / "after.png", "--output", tmp_path / "out") == 0
    saved, made = (
        np.stack([np.asarray(x, np.int16) for x in some])
        for some in ([Image.open(tmp_path / "out" / f"{name}.png") for name in ("before", "after")], photos[:2])
    )
    assert np.abs(saved - made).max() <= 1 < np.abs(saved[0] - saved[1]).max()  # weights from a file may round otherwise
    assert (tmp_path / "out/sheet.png").is_file()


def test_the_photo_made_of_a_sketch_is_found_first(tmp_path: Path, networks: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sketch = drawn_face(1, 32).convert("RGB")
    sketch.save(tmp_path / "sketch.png")
    (tmp_path / "gallery").mkdir()
    pipe = pipeline()
    for seed in range(4):
        pipe(drawn_face(seed, 32), seed=9).images[0].save(tmp_path / "gallery" / f"face{seed}.png")
    words = ["--pipeline", networks / "autoregressive", "--embedding", networks / "judge", "--sketch", tmp_path / "sketch.png"]
    words += ["--gallery", tmp_path / "gallery", "--num_images", 1, "--seed", 9]
    assert execute("retrieve_by_sketch", *words, "--first", 3) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert len(lines) == 3 and lines[0][1:] == ["1.0000", str(tmp_path / "gallery/face1.png")]
    cosines = [float(line[1]) for line in lines]
    assert cosines == sorted(cosines, reverse=True) and [line[0] for line in lines] == ["1", "2", "3"]


@pytest.mark.parametrize(
    ("recipe", "words", "message"),
    [
        ("draw_generated_pairs", "--generator no --output out", "no is not here; check --generator"),
        ("draw_generated_pairs", "--count 0 --output out", "count is 0"),
        ("edit_by_redrawing", "--pipeline no --sketch a.png --edited b/a.png --output out", "names of their own"),
        ("edit_by_redrawing", "--pipeline no --sketch a.png --edited b.png --output out", "a.png does not exist"),
        ("retrieve_by_sketch", "--pipeline no --embedding no --sketch a.png --gallery none", "none is no folder"),
    ],
)
def test_bad_input_ends_with_one_sentence(
    recipe: str, words: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert execute(recipe, *words.split()) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()
