from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import picture
from PIL import Image
from torch import Tensor

from oneshot_sketch import InputError
from oneshot_sketch.images import grey, to_tensor
from oneshot_sketch.models import patch_field
from oneshot_sketch.models.patch_field import PatchField, blend, gather

SMALL = {"patch": 6, "step": 3, "search": 3, "candidates": 4}
WIDTH, HEIGHT = 27, 33


def faces(count: int, start: int = 0) -> tuple[list[Image.Image], list[Image.Image]]:
    """Photos, and sketches that are something else."""
    return [[picture(WIDTH, HEIGHT, start + 100 * side + i) for i in range(count)] for side in (0, 1)]  # type: ignore[return-value]


def level(image: Image.Image) -> Tensor:
    """(H, W) in [0, 1], rounded to bytes as the field keeps them."""
    return ((grey(to_tensor(image))[0, 0] + 1) * 127.5).round() / 255


def nearest_by_hand(field: PatchField, photo: Image.Image, row: int, column: int) -> list[tuple[float, int, int, int]]:
    """(distance, photo, top, left) of all patches in the window, nearest first."""
    config, x = field.config, grey(to_tensor(photo))[0, 0] / 2 + 0.5
    p, s = config["patch"], config["search"]
    top, left = row * config["step"], column * config["step"]
    wanted = x[top : top + p, left : left + p]
    found = []
    for n in range(len(field.photos)):
        pool = field.photos[n, 0].float() / 255
        for y in range(max(0, top - s), min(HEIGHT - p, top + s) + 1):
            for z in range(max(0, left - s), min(WIDTH - p, left + s) + 1):
                found.append((float((pool[y : y + p, z : z + p] - wanted).square().sum()), n, y, z))
    return sorted(found)


@pytest.mark.parametrize(("row", "column"), [(0, 0), (4, 3), (9, 7)])
def test_candidates_are_the_nearest_patches_of_the_window(row: int, column: int) -> None:
    field = PatchField.fit(*faces(3), **SMALL)
    photo = picture(WIDTH, HEIGHT, 50)
    index = field.candidates(grey(to_tensor(photo))[0] / 2 + 0.5, field.photos.float() / 255)
    assert index.shape == (10, 8, 4, 3)
    assert [tuple(c) for c in index[row, column].tolist()] == [c[1:] for c in nearest_by_hand(field, photo, row, column)[:4]]


def test_one_candidate_is_the_nearest_patch() -> None:
    photos, sketches = faces(3)
    field = PatchField.fit(photos, sketches, **{**SMALL, "candidates": 1})
    photo = picture(WIDTH, HEIGHT, 50)
    nearest = [[nearest_by_hand(field, photo, r, c)[0][1:] for c in range(8)] for r in range(10)]
    patches = gather(torch.stack([level(sketch) for sketch in sketches]), torch.tensor(nearest), 6)
    assert torch.allclose(field(to_tensor(photo)), blend(patches, 3) * 2 - 1, atol=1e-5)


def test_a_pair_in_the_pool_gives_its_own_sketch() -> None:
    photos, sketches = faces(3)
    field = PatchField.fit(photos, sketches, **SMALL)
    drawn = field(to_tensor(photos))
    assert drawn.shape == (3, 1, HEIGHT, WIDTH)
    assert torch.allclose(drawn / 2 + 0.5, torch.stack([level(sketch) for sketch in sketches])[:, None], atol=0.02)


@pytest.mark.parametrize("mirror", [False, True])
def test_leaving_a_pair_out_is_never_having_had_it(mirror: bool) -> None:
    photos, sketches = faces(3)
    settings = {**SMALL, "mirror": mirror}
    field = PatchField.fit(photos, sketches, **settings)
    without = PatchField.fit(photos[:1] + photos[2:], sketches[:1] + sketches[2:], **settings)
    photo = to_tensor(photos[1])
    left_out = field(photo, leave_out=[1])
    assert torch.allclose(left_out, without(photo), atol=1e-5)
    assert (left_out - field(photo)).abs().mean() > 0.1


def test_a_single_pair_left_out_keeps_its_distant_patches() -> None:
    photos, sketches = faces(1)
    field = PatchField.fit(photos, sketches, **{**SMALL, "own_radius": 1})
    query = grey(to_tensor(photos[0]))[0] / 2 + 0.5
    index = field.candidates(query, field.photos.float() / 255, leave_out=0)
    own = torch.stack(torch.meshgrid(torch.arange(10) * 3, torch.arange(8) * 3, indexing="ij"), -1)
    away = (index[..., 1:] - own[:, :, None]).abs().amax(-1)
    assert away.min() == 2 and away.max() <= 3
    assert (field(to_tensor(photos[0])) - field(to_tensor(photos[0]), leave_out=[0])).abs().mean() > 0.05


def test_mirrored_pairs_draw_mirrored_photos() -> None:
    photos, sketches = faces(2)
    turned = to_tensor(photos[0]).flip(-1)
    drawn = PatchField.fit(photos, sketches, **SMALL, mirror=True)(turned)
    assert torch.allclose(drawn[0, 0] / 2 + 0.5, level(sketches[0]).flip(-1), atol=0.02)


def test_at_most_one_candidate_a_photo() -> None:
    field = PatchField.fit(*faces(5), **SMALL, one_per_photo=True)
    index = field.candidates(grey(to_tensor(picture(WIDTH, HEIGHT, 50)))[0], field.photos.float() / 255)
    assert (index[..., 0].sort(-1).values.diff(dim=-1) > 0).all()


def test_the_pool_may_be_read_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    field, photo = PatchField.fit(*faces(5), **SMALL), to_tensor(picture(WIDTH, HEIGHT, 50))
    whole = field(photo)
    monkeypatch.setattr(patch_field, "POOL_CHUNK", 2)
    assert torch.equal(field(photo), whole)


def test_a_size_that_the_grid_does_not_fill() -> None:
    photos, sketches = faces(2)
    field = PatchField.fit(photos, sketches, patch=7, step=4, search=2, candidates=1)
    drawn = field(to_tensor(photos))
    assert torch.allclose(drawn[:, 0] / 2 + 0.5, torch.stack([level(sketch) for sketch in sketches]), atol=1e-5)


def test_centre_surround_sees_through_light() -> None:
    photos, sketches = faces(2)
    dark = Image.fromarray((np.asarray(photos[0], np.float32) * 0.5 + 20).astype(np.uint8))
    truth = level(sketches[0])
    errors = {}
    for name in ("grey", "centre_surround"):
        drawn = PatchField.fit(photos, sketches, **{**SMALL, "candidates": 1}, representations=(name,))(to_tensor(dark))
        errors[name] = float((drawn[0, 0] / 2 + 0.5 - truth).abs().mean())
    assert errors["centre_surround"] < 0.5 * errors["grey"]


def test_several_representations_still_know_their_own() -> None:
    photos, sketches = faces(2)
    names = ("grey", "gaussian", "dog", "centre_surround")
    drawn = PatchField.fit(photos, sketches, **SMALL, representations=names)(to_tensor(photos[1]))
    assert torch.allclose(drawn[0, 0] / 2 + 0.5, level(sketches[1]), atol=0.02)


def test_it_is_saved_with_its_pairs(tmp_path: Path) -> None:
    field = PatchField.fit(*faces(2), **SMALL, representations=("grey", "dog"))
    field.save_pretrained(tmp_path)
    again = PatchField.from_pretrained(tmp_path)
    photo = to_tensor(picture(WIDTH, HEIGHT, 50))
    assert again.photos.dtype == torch.uint8 and torch.equal(again.sketches, field.sketches)
    assert torch.equal(again(photo), field(photo))


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"step": 6}, "above step"),
        ({"search": "far"}, "search is 'far'"),
        ({"patch": 40}, "fit into 27×33"),
        ({"candidates": 50}, "a corner patch finds 48 candidates"),
        ({"one_per_photo": True}, "finds 3 candidates"),
        ({"beta": float("nan")}, "beta is nan"),
        ({"representations": ("sift",)}, "no representation 'sift'"),
        ({"representations": ("grey", "dog"), "spread": 0.0}, "a spread above 0"),
        ({"neighbours": 3}, "'neighbours' is no setting"),
    ],
)
def test_settings_that_make_no_sense(settings: dict[str, object], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        PatchField.fit(*faces(3), **{**SMALL, **settings})


def test_pictures_of_another_size() -> None:
    photos, sketches = faces(2)
    with pytest.raises(InputError, match="of one size, not 27×33, 40×40"):
        PatchField.fit([photos[0], picture(40, 40, 1)], sketches)
    with pytest.raises(InputError, match="resize them"):
        PatchField.fit(photos, sketches, **SMALL)(to_tensor(picture(40, 40, 1)))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA")
def test_cuda_draws_the_same() -> None:
    field, photo = PatchField.fit(*faces(3), **SMALL), to_tensor(picture(WIDTH, HEIGHT, 50))
    here = field(photo)
    assert torch.allclose(field.to("cuda")(photo).cpu(), here, atol=1e-3)
