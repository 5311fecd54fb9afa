from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import picture

from oneshot_sketch import InputError
from oneshot_sketch.models.ide import MLANet
from oneshot_sketch.models.patch_field import PatchField
from oneshot_sketch.pipelines.ide import IDEPipeline


@pytest.fixture
def field() -> PatchField:
    return PatchField.fit([picture(40, 48, 1)], [picture(40, 48, 2)], patch=8, step=4, search=3, candidates=3)


@pytest.fixture
def pipe(field: PatchField) -> IDEPipeline:
    torch.manual_seed(0)
    pipe = IDEPipeline(field, MLANet(channels=8, num_fams=1), coarse_scale=0.5)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def test_stage_one_alone_from_a_single_pair(field: PatchField) -> None:
    drawn = IDEPipeline(field)(picture(40, 48, 1))
    assert drawn.images[0].size == (40, 48) and drawn.images == drawn.coarse
    own = np.asarray(picture(40, 48, 2).convert("L"), np.float32)
    assert np.abs(np.asarray(drawn.images[0].convert("L"), np.float32) - own).max() < 6  # the pair's own photo


def test_both_stages(pipe: IDEPipeline) -> None:
    photos = [picture(40, 48, seed) for seed in (3, 4)]
    drawn = pipe(photos)
    assert [image.size for image in drawn.images] == [(40, 48)] * 2 and [image.size for image in drawn.coarse] == [(40, 48)] * 2
    assert drawn.images[0].mode == "RGB" and drawn.images[0] != drawn.coarse[0] and drawn.images[0] != drawn.images[1]
    assert pipe(photos, coarse_only=True).images == drawn.coarse
    assert pipe.mend(drawn.coarse) == drawn.images
    assert pipe(photos[1]).images == drawn.images[1:]  # whatever its neighbours


def test_the_papers_scale_doubles(field: PatchField) -> None:
    assert IDEPipeline(field, MLANet(channels=8, num_fams=1))(picture(80, 96, 3)).images[0].size == (80, 96)


@pytest.mark.parametrize("stages", [1, 2])
def test_it_is_saved_and_loaded(pipe: IDEPipeline, field: PatchField, tmp_path: Path, stages: int) -> None:
    first = pipe if stages == 2 else IDEPipeline(field)
    first.save_pretrained(tmp_path)
    again = IDEPipeline.from_pretrained(tmp_path)
    photo = picture(40, 48, 3)
    assert again(photo).images == first(photo).images
    assert (again.enhancer is None) == (stages == 1)


def test_bad_input(pipe: IDEPipeline, field: PatchField) -> None:
    with pytest.raises(InputError, match="48×48 pixels, but the training photos are 40×48"):
        pipe(picture(48, 48, 1))
    with pytest.raises(InputError, match="no photo"):
        pipe([])
    with pytest.raises(InputError, match="no second stage"):
        IDEPipeline(field).mend([picture(40, 48, 1)])


def test_a_folder_that_holds_none(pipe: IDEPipeline, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="could not be loaded as an IDE pipeline"):
        IDEPipeline.from_pretrained(tmp_path / "nothing")
    pipe.save_pretrained(tmp_path)
    for weights in tmp_path.glob("*/*.safetensors"):
        weights.write_bytes(b"damaged")
    with pytest.raises(InputError, match="could not be loaded as an IDE pipeline"):
        IDEPipeline.from_pretrained(tmp_path)
