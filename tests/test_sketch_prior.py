"""Photo → sketch in the photo's frame, with error and trust."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import picture
from PIL import Image
from torch import Tensor

from oneshot_sketch import sketch_prior
from oneshot_sketch.errors import InputError
from oneshot_sketch.face_crop import FaceCrop
from oneshot_sketch.face_finder import EmbeddedFaceFinder, Face
from oneshot_sketch.images import to_pil
from oneshot_sketch.models.face_finder import FaceFinderNetwork
from oneshot_sketch.models.inversion import InversionConfig, laplacian_distance
from oneshot_sketch.models.inversion_encoder import InversionEncoder
from oneshot_sketch.models.stylegan2 import StyleGAN2Generator
from oneshot_sketch.models.stylesketch import StyleSketchGenerator
from oneshot_sketch.sketch_prior import PriorSketch, SketchPrior, SketchPriorConfig

POINTS = np.array([(40, 40), (56, 40), (48, 48), (42, 58), (54, 58)], float)
QUICK = InversionConfig(steps=4, batch_size=2)


class Finder:
    """Finds what it was told to."""

    fingerprint = "told"

    def __init__(self, *faces: Face) -> None:
        self.faces = list(faces)

    def find(self, photo: Image.Image) -> list[Face]:
        return self.faces


def face(points: np.ndarray = POINTS, yaw: float = 0.0, drawn: float = 0.0) -> Face:
    return Face(points, 0.9, yaw, drawn)


Make = Callable[..., SketchPrior]


@pytest.fixture(scope="module")
def make() -> Make:
    def build(**changes: Any) -> SketchPrior:
        torch.manual_seed(0)
        generator = StyleGAN2Generator(32, z_dim=16, w_dim=16, mapping_layers=2, channel_base=256, channel_max=16)
        generator.estimate_w_avg(100)
        parts: dict[str, Any] = {
            "generator": generator,
            "sketch_generator": StyleSketchGenerator.for_stylegan(generator, width=8),
            "face_finder": Finder(face()),
            "config": SketchPriorConfig(inversion=QUICK),
        }
        return SketchPrior(**parts | changes)

    return build


@pytest.fixture(scope="module")
def prior(make: Make) -> SketchPrior:
    return make()


def equal(a: PriorSketch, b: PriorSketch) -> bool:
    return all(torch.equal(getattr(a, name), getattr(b, name)) for name in ("sketch", "trust", "reconstruction", "error"))


def test_the_sketch_lies_on_the_face_and_paper_around_it(prior: SketchPrior) -> None:
    photo = picture(120, 100, seed=1)
    drawn = prior.sketch(photo)
    assert drawn.sketch.shape == drawn.trust.shape == (1, 1, 100, 120)
    assert drawn.reconstruction.shape == (1, 3, 32, 32) and drawn.error.shape == (1,)
    crop = FaceCrop.around(POINTS, photo.size)
    inside = crop.lay_back(torch.ones(1, 1, 32, 32), photo.size, 0.0) > 0
    assert 0.2 < inside.float().mean() < 0.8
    assert (drawn.sketch[~inside] == 1).all() and (drawn.trust[~inside] == 0).all()
    assert (drawn.sketch[inside] < 1).all() and (drawn.trust[inside] > 0).float().mean() > 0.95
    assert drawn.trust.max() <= 1


def test_the_sketch_is_what_the_sketch_generator_draws_of_the_reconstruction(prior: SketchPrior) -> None:
    """With the photo being the crop, nothing but the networks is in between."""
    crop = FaceCrop.around(POINTS, (120, 100))
    photo = picture(120, 100, seed=2)
    square = crop.cut(photo, 32)
    ws = sketch_prior.invert(prior.generator, square, config=QUICK).ws.repeat(2, 1, 1)
    redrawn = prior.generator.synthesize(ws)
    expected = prior.sketch_generator(redrawn.features, redrawn.image)[:1] * 2 - 1
    drawn = prior.sketch(photo)
    torch.testing.assert_close(drawn.reconstruction, redrawn.image[:1].clamp(-1, 1))
    torch.testing.assert_close(drawn.sketch, crop.lay_back(expected, photo.size, 1.0))
    difference = (drawn.reconstruction - square) / 2
    torch.testing.assert_close(drawn.error[0], difference.square().mean().sqrt())


def test_neighbours_do_not_change_a_byte(prior: SketchPrior) -> None:
    photos = [picture(64, 80, seed=seed) for seed in (1, 2, 3)]
    together = prior.sketch(photos)
    for i, photo in enumerate(photos):
        alone = prior.sketch(photo)
        for name in ("sketch", "trust", "reconstruction", "error"):
            assert torch.equal(getattr(alone, name)[0], getattr(together, name)[i]), name


def test_photos_of_any_size_mode_and_turn_are_sketched_at_the_size_asked_for(prior: SketchPrior) -> None:
    photos = [picture(64, 80), picture(100, 70).convert("L")]
    drawn = prior.sketch(photos, size=(48, 56))
    assert drawn.sketch.shape == (2, 1, 56, 48)
    with pytest.raises(InputError, match="several sizes"):
        prior.sketch(photos)
    with pytest.raises(InputError, match="no photo"):
        prior.sketch([])


def test_trust_falls_with_the_error_and_towards_the_border(prior: SketchPrior) -> None:
    errors = torch.tensor([0.0, 0.05, 0.1, 0.3, 1.0]).view(5, 1, 1, 1).expand(5, 1, 32, 32)
    trust = prior.trust_of(errors)
    torch.testing.assert_close(trust[:, 0, 16, 16], torch.tensor([1.0, 0.8, 0.5, 0.1, 1 / 101]))
    assert (trust.diff(dim=0) < 0).all()
    assert trust[0, 0, 16, 0] == 0.25 and trust[0, 0, 16, 1] == 0.75 and (trust[0, 0, 2:30, 2:30] == 1).all()
    assert SketchPriorConfig(trust_error=0.2).trust_error > prior.config.trust_error


def test_a_badly_redrawn_part_is_trusted_less(make: Make) -> None:
    """A photo that is the mean face but for one spot."""
    prior = make(config=SketchPriorConfig(inversion=InversionConfig(steps=0)))
    mean = prior.generator.synthesize(prior.generator.w_avg.expand(1, prior.generator.num_ws, -1)).image.detach()
    pixels = ((mean[0].clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0).numpy().copy()
    pixels[8:14, 18:24] = 255 - pixels[8:14, 18:24]
    crop = FaceCrop.around(POINTS, (120, 100))
    photo = picture(120, 100)
    laid = crop.lay_back(torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 127.5 - 1, photo.size, 0.0)
    drawn = prior.sketch(to_pil(laid)[0])
    spot = torch.zeros(1, 1, 32, 32)
    spot[..., 8:14, 18:24] = 1
    spot = crop.lay_back(spot, photo.size, 0.0) > 0.99
    elsewhere = torch.zeros(1, 1, 32, 32)
    elsewhere[..., 22:28, 6:12] = 1
    elsewhere = crop.lay_back(elsewhere, photo.size, 0.0) > 0.99
    assert drawn.trust[spot].mean() < 0.5 * drawn.trust[elsewhere].mean()


@pytest.mark.parametrize(
    ("faces", "message"),
    [
        ([], "the photo shows no face"),
        ([face(), face(POINTS + 30)], "the photo shows 2 faces"),
        ([face(yaw=70.0)], "turned by about 70°"),
        ([face(drawn=0.9)], "is drawn, not photographed"),
    ],
)
def test_photos_that_cannot_be_sketched_get_a_sentence(make: Make, faces: list[Face], message: str) -> None:
    prior = make(face_finder=Finder(*faces))
    with pytest.raises(InputError, match=message):
        prior.sketch(picture(120, 100))
    with pytest.raises(InputError, match="photo 1 of 2"):
        prior.sketch([picture(120, 100)] * 2)


def test_it_is_saved_and_loaded_whole(make: Make, tmp_path: Path) -> None:
    torch.manual_seed(3)
    reference = make()
    encoder = InversionEncoder.small_for(reference.generator, widths=(8, 8, 8, 8), units=(1, 1, 1, 1), hidden=8)
    torch.nn.init.normal_(encoder.head[-1].weight, std=0.1)  # type: ignore[arg-type]
    prior = make(encoder=encoder, config=SketchPriorConfig(inversion=QUICK, trust_error=0.2)).to(dtype=torch.float16)
    prior.save_pretrained(tmp_path / "prior")
    assert sorted(path.name for path in (tmp_path / "prior").iterdir()) == [
        "config.json",
        "encoder",
        "generator",
        "sketch_generator",
    ]
    with pytest.raises(InputError, match="saved without a face finder; give one"):
        SketchPrior.from_pretrained(tmp_path / "prior")
    loaded = SketchPrior.from_pretrained(tmp_path / "prior", face_finder=Finder(face()))
    assert loaded.config == prior.config and loaded.fingerprint == prior.fingerprint
    prior.to(dtype=torch.float32)
    a, b = (each.sketch(picture(64, 64, seed=1)) for each in (prior, loaded))
    torch.testing.assert_close(a.sketch, b.sketch, atol=1e-3, rtol=0)
    again = SketchPrior.from_pretrained(tmp_path / "prior", face_finder=Finder(face()))
    assert equal(again.sketch(picture(64, 64, seed=1)), b)
    quicker = SketchPrior.from_pretrained(tmp_path / "prior", face_finder=Finder(face()), steps=1, trust_error=0.3)
    assert (quicker.config.inversion.steps, quicker.config.trust_error) == (1, 0.3)
    assert quicker.config.inversion.batch_size == 2 and quicker.fingerprint != loaded.fingerprint


def test_the_embedded_kind_of_face_finder_is_saved_with_it(make: Make, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = FaceFinderNetwork(block_out_channels=(8, 8, 8, 8), head_channels=(8, 8))
    prior = make(face_finder=EmbeddedFaceFinder(network))
    prior.save_pretrained(tmp_path)
    loaded = SketchPrior.from_pretrained(tmp_path)
    assert isinstance(loaded.face_finder, EmbeddedFaceFinder) and loaded.fingerprint == prior.fingerprint
    with pytest.raises(InputError, match="shows no face"):
        loaded.sketch(picture(64, 64))


def test_folders_that_are_no_prior(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="no folder with a sketch prior"):
        SketchPrior.from_pretrained(tmp_path / "nowhere")
    monkeypatch.setattr(sketch_prior, "MINI", tmp_path / "mini_prior")
    with pytest.raises(InputError, match="no embedded sketch prior"):
        SketchPrior.from_pretrained("mini")
    folder, finder = tmp_path / "prior", Finder(face())
    make().save_pretrained(folder)
    with pytest.raises(InputError, match="no setting stepz"):
        SketchPrior.from_pretrained(folder, face_finder=finder, stepz=3)
    with pytest.raises(InputError, match="steps is -1"):
        SketchPrior.from_pretrained(folder, face_finder=finder, steps=-1)

    whole = (folder / "config.json").read_text()
    for damaged, message in [
        ("{", "could not be loaded"),
        ("[]", "could not be loaded"),
        (json.dumps(json.loads(whole) | {"format": 99}), "has format 99"),
        (json.dumps(json.loads(whole) | {"digests": {"generator": "0"}}), "another generator than was saved"),
        (json.dumps(json.loads(whole) | {"digests": {"../other": "0"}}), "could not be loaded"),
        (json.dumps(json.loads(whole) | {"inversion": {"steps": "many"}}), "could not be loaded"),
    ]:
        (folder / "config.json").write_text(damaged)
        with pytest.raises(InputError, match=message):
            SketchPrior.from_pretrained(folder, face_finder=finder)
    (folder / "config.json").write_text(whole)
    (folder / "generator" / "diffusion_pytorch_model.safetensors").write_bytes(b"short")
    with pytest.raises(InputError, match="could not be loaded"):
        SketchPrior.from_pretrained(folder, face_finder=finder)


def test_networks_of_another_stylegan_are_refused(make: Make) -> None:
    prior = make()
    torch.manual_seed(9)
    other = StyleGAN2Generator(32, z_dim=16, w_dim=16, mapping_layers=2, channel_base=256, channel_max=16)
    with pytest.raises(InputError, match="was not learned on this StyleGAN2"):
        make(sketch_generator=StyleSketchGenerator.for_stylegan(other, width=8))
    with pytest.raises(InputError, match="was not learned on this StyleGAN2"):
        make(sketch_generator=StyleSketchGenerator(64, 256, 16, width=8))
    larger = StyleGAN2Generator(64, z_dim=16, w_dim=16, mapping_layers=2, channel_base=256, channel_max=16)
    with pytest.raises(InputError, match="load the two that belong together"):
        make(encoder=InversionEncoder.small_for(larger, widths=(8, 8, 8, 8), units=(1, 1, 1, 1), hidden=8))
    assert not any(p.requires_grad for p in prior.generator.parameters())


class Counted:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pictures, plain = 0, sketch_prior.invert

        def counting(generator: StyleGAN2Generator, images: Tensor, *args: Any, **kwargs: Any) -> Any:
            self.pictures += len(images)
            return plain(generator, images, *args, **kwargs)

        monkeypatch.setattr(sketch_prior, "invert", counting)


def test_an_inversion_is_kept_and_found_by_content(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inverted = Counted(monkeypatch)
    prior = make(cache_dir=tmp_path)
    first = prior.sketch([picture(64, 64, seed=1), picture(64, 64, seed=2)])
    assert inverted.pictures == 2 and len(list(tmp_path.iterdir())) == 2
    again = make(cache_dir=tmp_path).sketch([picture(64, 64, seed=1), picture(64, 64, seed=2)])
    assert inverted.pictures == 2 and equal(again, first)
    prior.sketch([picture(64, 64, seed=2), picture(64, 64, seed=3)])
    assert inverted.pictures == 3
    make(cache_dir=tmp_path, config=SketchPriorConfig(inversion=InversionConfig(steps=2))).sketch(picture(64, 64, seed=1))
    assert inverted.pictures == 4
    changed = make(cache_dir=tmp_path)
    changed.generator.synthesis["b4"].const.data += 0.1  # type: ignore[union-attr, operator]
    changed.sketch(picture(64, 64, seed=1))
    assert inverted.pictures == 5
    make().sketch(picture(64, 64, seed=1))
    assert inverted.pictures == 6 and len(list(tmp_path.iterdir())) == 5


def test_a_distance_without_content_is_not_cached(make: Make, tmp_path: Path) -> None:
    make(cache_dir=tmp_path, perceptual=lambda a, b: laplacian_distance(a, b)).sketch(picture(64, 64))
    assert not list(tmp_path.iterdir())


def test_the_fingerprint_is_of_all_that_draws(make: Make) -> None:
    torch.manual_seed(5)
    prior = make()
    other = make()
    assert prior.fingerprint == other.fingerprint and len(prior.fingerprint) == 16
    other.sketch_generator.Conv_1x1.bias.data += 1  # type: ignore[operator, union-attr]
    finder = Finder(face())
    finder.fingerprint = "another"
    different = {
        prior.fingerprint,
        make(sketch_generator=other.sketch_generator).fingerprint,
        make(face_finder=finder).fingerprint,
        make(perceptual=laplacian_distance).fingerprint,
        make(config=SketchPriorConfig(inversion=QUICK, trust_error=0.3)).fingerprint,
    }
    assert len(different) == 5


def test_trust_error_must_be_a_share() -> None:
    with pytest.raises(InputError, match="trust_error is 0"):
        SketchPriorConfig(trust_error=0)
