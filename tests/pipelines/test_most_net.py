from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import picture
from PIL import Image

from oneshot_sketch import InputError
from oneshot_sketch.images import to_pil, to_tensor
from oneshot_sketch.letterbox import letterbox
from oneshot_sketch.models.most_net import MostNet
from oneshot_sketch.pipelines.most_net import MostNetPipeline


@pytest.fixture
def pipe() -> MostNetPipeline:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return MostNetPipeline(MostNet(width=4, residual_blocks=1, memory_items=8, canvas=(36, 28)))


def drawn(pipe: MostNetPipeline, *photos: Image.Image) -> list[np.ndarray]:
    return [np.asarray(sketch) for sketch in pipe(list(photos)).images]  # type: ignore[union-attr]


def test_photos_of_any_size_are_drawn_in_their_own(pipe: MostNetPipeline) -> None:
    photos = [picture(28, 36, 1), picture(80, 50, 2), picture(40, 90, 3)]
    sketches = drawn(pipe, *photos)
    assert [sketch.shape[:2] for sketch in sketches] == [(36, 28), (50, 80), (90, 40)]
    assert all((sketch == sketch[..., :1]).all() for sketch in sketches)


def test_a_photo_of_the_canvas_size_goes_through_the_network_as_it_is(pipe: MostNetPipeline) -> None:
    photo = picture(28, 36, 1)
    expected = to_pil(pipe.net(to_tensor(photo)))[0]
    assert np.array_equal(drawn(pipe, photo)[0], np.asarray(expected))


def test_neighbours_change_nothing(pipe: MostNetPipeline) -> None:
    photos = [picture(60, 60, seed) for seed in range(3)]
    assert np.array_equal(drawn(pipe, *photos)[1], drawn(pipe, photos[1])[0])


def test_drawing_keeps_the_memory(pipe: MostNetPipeline) -> None:
    before = {key: value.clone() for key, value in pipe.net.state_dict().items()}
    pipe.net.train()
    drawn(pipe, picture(60, 60, 1))
    assert all(torch.equal(value, before[key]) for key, value in pipe.net.state_dict().items())


def test_it_is_saved_and_read_whole(pipe: MostNetPipeline, tmp_path: Path) -> None:
    pipe.save_pretrained(tmp_path)
    again = MostNetPipeline.from_pretrained(tmp_path)
    photo = picture(50, 70, 4)
    assert np.array_equal(drawn(again, photo)[0], drawn(pipe, photo)[0])
    assert not list(tmp_path.rglob("*.bin"))


def test_arrays_and_tuples(pipe: MostNetPipeline) -> None:
    photo = picture(50, 70, 4)
    (sketch,) = pipe(photo, output_type="np", return_dict=False)
    assert isinstance(sketch, np.ndarray) and sketch.shape == (1, 70, 50, 3)
    assert np.array_equal((sketch[0] * 255).round().astype(np.uint8), drawn(pipe, photo)[0])


def test_unusable_input_is_said(pipe: MostNetPipeline, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="output_type"):
        pipe(picture(), output_type="latent")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="no photo"):
        pipe([])
    with pytest.raises(InputError, match="could not be loaded as a MOST-Net"):
        MostNetPipeline.from_pretrained(tmp_path / "nothing")


def test_a_letterbox_keeps_the_shape_and_carries_the_edges_on() -> None:
    photo = picture(40, 20, 1)
    canvas, (left, top, right, bottom) = letterbox(photo, (30, 30))
    assert (canvas.size, left, top, right, bottom) == ((30, 30), 0, 7, 30, 22)
    pixels = np.asarray(canvas)
    assert (pixels[:7] == pixels[7]).all() and (pixels[22:] == pixels[21]).all()
    assert np.array_equal(pixels[7:22], np.asarray(photo.resize((30, 15), Image.Resampling.LANCZOS)))
