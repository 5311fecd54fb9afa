from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import picture
from PIL import Image
from priors import ByName

from oneshot_sketch import InputError, PhotoSketchPair
from oneshot_sketch.benchmark import Unavailable, build, known_systems, register
from oneshot_sketch.benchmark.measures import build_metric
from oneshot_sketch.benchmark.rivals.networks import forgiving_prior
from oneshot_sketch.benchmark.rivals.pix2pix import UNet
from oneshot_sketch.filters import match_tone, xdog
from oneshot_sketch.images import to_pil, to_tensor
from oneshot_sketch.models.patch_gan import patch_gan

LEARNING = {"steps": 2, "draws": 1, "grid": 1, "augmentations": 1, "select_every": 0, "edit_weight": 0.0, "init": "text"}


@pytest.fixture
def squeezenet(tmp_path: Path) -> Path:
    from torchvision.models import squeezenet1_1

    torch.manual_seed(0)
    torch.save(squeezenet1_1(weights=None).state_dict(), tmp_path / "squeezenet.pth")
    return tmp_path / "squeezenet.pth"


def options(name: str, backbone: Path, squeezenet: Path) -> dict[str, object]:
    learning = {"backbone": str(backbone), "changes": LEARNING, "steps": 2}
    return {
        "filter": {"kind": "dodge", "tone": True},
        "ide": {
            "settings": {"search": 4, "candidates": 4},
            "changes": {"steps": 2, "batch": 2, "crop": 32, "channels": 8, "num_fams": 1, "discriminator_channels": 4},
            **{"network": "squeezenet", "weights": squeezenet},
        },
        "gatys": {"network": "squeezenet", "weights": squeezenet, "iterations": 2, "size": 64},
        "instruction": learning,
        "most_net": {
            "steps": 2,
            "size": 32,
            "changes": {"width": 4, "memory_items": 8, "discriminator_width": 4},
            "network": "squeezenet",
            "weights": squeezenet,
        },
        "patch-field": {"settings": {"search": 4, "candidates": 4}},
        "pix2pix": {"steps": 2, "width": 4, "size": 32},
        "sdedit": {**learning, "strength": 0.5},
        "text": {"prompts": ["ink", "chalk"], "backbone": str(backbone), "steps": 2},
    }[name]


@pytest.mark.parametrize(
    "name", ["filter", "gatys", "ide", "instruction", "most_net", "patch-field", "pix2pix", "sdedit", "text"]
)
def test_a_system_draws_every_photo_in_its_size_and_the_same_again(
    name: str, tiny_backbone: Path, squeezenet: Path, pair: PhotoSketchPair
) -> None:
    photos = [picture(48, 48, seed) for seed in (3, 4, 5)]
    drawn = []
    for _ in range(2):
        system = build(name, options(name, tiny_backbone, squeezenet))
        system.learn([pair])
        drawn.append([np.asarray(sketch) for sketch in system.sketch(photos)])
    assert [sketch.shape for sketch in drawn[0]] == [(48, 48, 3)] * 3
    assert all(np.array_equal(a, b) for a, b in zip(*drawn, strict=True))
    assert not np.array_equal(drawn[0][0], drawn[0][1])


def test_every_shipped_system_is_tested(tiny_backbone: Path, squeezenet: Path) -> None:
    elsewhere = {"stylesketch", "picture_that_sketch", "latent_optimisation", "generated_face", "nearest_photo"}
    assert all(options(name, tiny_backbone, squeezenet) for name in set(known_systems()) - elsewhere)


def test_a_filter_is_the_filter(pair: PhotoSketchPair) -> None:
    system, photo = build("filter", {"kind": "xdog", "tone": True}), picture(40, 40, 9)
    system.learn([pair])
    expected = to_pil(match_tone(xdog(to_tensor(photo)), to_tensor(pair.sketch)))[0]
    assert np.array_equal(np.asarray(system.sketch([photo])[0]), np.asarray(expected))


def test_the_text_that_lpips_likes_best(tiny_backbone: Path, squeezenet: Path, pair: PhotoSketchPair, tmp_path: Path) -> None:
    heads = {f"lin{i}.model.1.weight": torch.ones(1, c, 1, 1) for i, c in enumerate((64, 128, 256, 384, 384, 512, 512))}
    torch.save(heads, tmp_path / "heads.pth")
    judge = {"net": "squeeze", "weights": str(squeezenet), "heads": str(tmp_path / "heads.pth")}
    prompts = ["ink", "chalk", "wash"]
    chosen = build("text", {"prompts": prompts, "backbone": str(tiny_backbone), "steps": 2, "lpips": judge})
    chosen.learn([pair])
    values = []
    for prompt in prompts:
        alone = build("text", {"prompts": [prompt], "backbone": str(tiny_backbone), "steps": 2})
        alone.learn([pair])
        metric = build_metric("lpips", judge)
        metric.update(to_tensor(alone.sketch([pair.photo])), truths=to_tensor(pair.sketch))
        values.append(metric.compute().value)
    assert len(set(values)) == 3
    assert chosen.prompt == prompts[int(np.argmin(values))]


def test_gatys_comes_nearer_to_the_exemplars_grams(squeezenet: Path, pair: PhotoSketchPair) -> None:
    few, many = (
        build("gatys", {"network": "squeezenet", "weights": squeezenet, "iterations": n, "size": 64, "style_weight": 1e3})
        for n in (1, 40)
    )
    distances = []
    for system in (few, many):
        system.learn([pair])
        drawn = system.sketch([picture(64, 64, 5)])[0]
        grams = system._grams(system._maps(system._seen(drawn)))  # type: ignore[attr-defined]
        distances.append(sum((a - b).square().sum() / b.square().sum() for a, b in zip(grams, system.style, strict=True)))  # type: ignore[attr-defined]
    assert distances[1] < 0.7 * distances[0]


def test_pix2pix_learns_its_pair(pair: PhotoSketchPair) -> None:
    errors = []
    for steps in (1, 120):
        system = build("pix2pix", {"steps": steps, "width": 16, "size": 32})
        system.learn([pair])
        drawn = to_tensor(system.sketch([pair.photo])[0])
        errors.append((drawn - to_tensor(pair.sketch)).abs().mean().item())
    assert errors[1] < 0.75 * errors[0]


def test_the_networks_of_pix2pix_have_the_papers_size() -> None:
    """Isola et al. 2017: the U-Net 256 has 54.4 M parameters with colour output; the 70×70 PatchGAN 2.8 M with six channels."""
    assert 54.3e6 < sum(p.numel() for p in UNet(64, 8).parameters()) < 54.5e6
    assert 2.7e6 < sum(p.numel() for p in patch_gan(64).parameters()) < 2.8e6


def test_sdedit_keeps_more_of_the_photo_the_weaker_it_is(tiny_backbone: Path, pair: PhotoSketchPair) -> None:
    photo, kept = picture(32, 32, 7), []
    for strength in (0.1, 1.0):
        system = build("sdedit", {"backbone": str(tiny_backbone), "changes": LEARNING, "steps": 4, "strength": strength})
        system.learn([pair])
        z = system.frozen.encode_photo(to_tensor(system.sketch([photo])))  # type: ignore[attr-defined]
        kept.append((z - system.frozen.encode_photo(to_tensor(photo))).abs().mean().item())  # type: ignore[attr-defined]
    assert kept[0] < kept[1]


def test_an_instruction_with_a_sketch_prior(
    tiny_backbone: Path, pair: PhotoSketchPair, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    forgiving_prior.cache_clear()
    ByName.install(monkeypatch)
    given = {"backbone": str(tiny_backbone), "changes": LEARNING, "steps": 2}
    photos = [picture(48, 48, 3), Image.new("RGB", (48, 48)), picture(48, 48, 5)]
    drawn = {}
    for scale in (0.0, 1.0):
        system = build("instruction", {**given, "sketch_prior_scale": scale})
        system.learn([pair])
        drawn[scale] = [np.asarray(sketch) for sketch in system.sketch(photos)]
        assert system.pipe.sketch_prior is None  # type: ignore[attr-defined]
    same = [np.array_equal(a, b) for a, b in zip(drawn[0.0], drawn[1.0], strict=True)]
    assert same == [False, True, False], "the one without a face is drawn, without the prior"
    assert "drawn without the sketch prior: there is no face" in caplog.text
    with pytest.raises(Unavailable, match="holds no sketch prior"):
        build("instruction", {**given, "sketch_prior": "none", "sketch_prior_scale": 1.0})
    assert build("instruction", {**given, "sketch_prior": "none"}), "which nothing asks for at scale 0"
    with pytest.raises(InputError, match="takes no sketch prior"):
        build("sdedit", {**given, "sketch_prior_scale": 1.0})
    forgiving_prior.cache_clear()


def test_a_users_own_system() -> None:
    @register("white paper")
    class WhitePaper:
        def learn(self, pairs: Sequence[PhotoSketchPair]) -> None:
            self.paper = pairs[0].sketch.getpixel((0, 0))

        def sketch(self, photos: Sequence[Image.Image]) -> list[Image.Image]:
            return [Image.new("RGB", photo.size, self.paper) for photo in photos]

    try:
        assert isinstance(build("white paper"), WhitePaper)
        with pytest.raises(InputError, match="already a system"):
            register("white paper")(lambda: WhitePaper())
    finally:
        from oneshot_sketch.benchmark import system

        del system._FACTORIES["white paper"]


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("nobody", {}, "no system 'nobody'"),
        ("filter", {"kind": "sepia"}, "no filter 'sepia'"),
        ("filter", {"sort": "grey"}, "cannot be built"),
        ("text", {"prompts": []}, "at least one prompt"),
        ("gatys", {"network": "alexnet"}, "no network 'alexnet'"),
    ],
)
def test_nonsense_is_refused(name: str, given: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        build(name, given)


def test_absent_weights_are_said_to_be_absent(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="does not exist"):
        build("gatys", {"network": "squeezenet", "weights": tmp_path / "nothing.pth"})
    (tmp_path / "text.pth").write_text("no weights")
    with pytest.raises(InputError, match="not a file of tensors"):
        build("gatys", {"network": "squeezenet", "weights": tmp_path / "text.pth"})
    with pytest.raises(Unavailable, match="does not exist"):
        build("most_net", {"network": "squeezenet", "weights": tmp_path / "nothing.pth"})
    with pytest.raises(InputError, match="not a file of tensors"):
        build("most_net", {"network": "squeezenet", "weights": tmp_path / "text.pth"})
