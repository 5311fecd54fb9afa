"""What the embedded backbone is made of comes out the same every time."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.models import squeezenet1_1
from transformers import CLIPTokenizer

from oneshot_sketch.backbone import MINI
from oneshot_sketch.metrics.lpips_caffe import SqueezeLpips
from oneshot_sketch.models.patch_autoencoder import PatchAutoencoder

RECIPES = Path(__file__).parents[1] / "recipes/mini_backbone"
BUILD = "import sys; from pathlib import Path; from parts import build_tokenizer; build_tokenizer(Path(sys.argv[1]))"


def test_two_processes_build_the_same_tokenizer(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        subprocess.run([sys.executable, "-c", BUILD, str(folder)], cwd=RECIPES, check=True, capture_output=True)
    for name in ("vocab.json", "merges.txt"):
        first, second = ((folder / name).read_bytes() for folder in folders)
        assert first == second
    assert json.loads((folders[0] / "vocab.json").read_text())["paper</w>"] > 1


def test_predictions_are_looked_at_through_the_frozen_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(RECIPES))
    from train_backbone import Look  # type: ignore[import-not-found]

    torch.manual_seed(0)
    vae = PatchAutoencoder.from_pretrained(MINI / "vae").eval()
    features = squeezenet1_1(weights=None).features
    heads = [torch.ones(channels) for channels in (64, 128, 256, 384, 384, 512, 512)]
    look = Look(vae, SqueezeLpips(features, heads), 0.5)
    z = vae.encode(torch.rand(2, 3, 64, 64) - 0.5).latents.detach()
    with torch.no_grad():
        drawings = vae.decode(z).sample
    assert drawings.abs().max() < 1
    assert look(z, drawings) == 0
    predicted = (z + 0.3 * torch.randn_like(z)).requires_grad_()
    loss = look(predicted, drawings)
    loss.backward()
    assert predicted.grad is not None and predicted.grad.any()
    assert all(p.grad is None for p in (*vae.parameters(), *look.distance.parameters()))
    with torch.no_grad():
        nearer = z.lerp(predicted, 0.5)
        assert 0 < look(nearer, drawings) < loss
        assert Look(vae, look.distance, 1.0)(predicted, drawings) == 2 * loss


def test_widened_it_draws_as_before_and_all_components_lose_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(RECIPES))
    from parts import build_unet  # type: ignore[import-not-found]
    from widen import widen_autoencoder, widen_unet  # type: ignore[import-not-found]

    torch.manual_seed(0)
    images = torch.nn.functional.interpolate(torch.rand(20, 3, 16, 16), (64, 64), mode="bicubic") * 2 - 1
    images = images + 0.05 * torch.randn_like(images)
    old = PatchAutoencoder(luma_channels=6, latent_channels=8).eval()
    old.fit_components(images)
    torch.nn.init.normal_(old.refine[-2].weight, std=0.01)  # type: ignore[arg-type]
    with torch.no_grad():
        z = old.encode(images).latents  # type: ignore[union-attr]
        wide = widen_autoencoder(old, 64, images).eval()
        more = wide.encode(images).latents  # type: ignore[union-attr]
        torch.testing.assert_close(torch.cat([more[:, :6], more[:, -2:]], 1), z)
        luma = torch.einsum("c,nchw->nhw", torch.tensor([0.299, 0.587, 0.114]), images)[:, None]
        torch.testing.assert_close(wide.synthesis(more[:, :64]), luma, atol=1e-3, rtol=0)
        torch.testing.assert_close(wide.refine(more[:, :64]), old.refine(z[:, :6]), atol=1e-4, rtol=0)
        assert more.std((0, 2, 3))[6:64].diff().max() < 0.05, "what holds less comes later"

        rows, t = torch.randn(2, 40, 256), torch.tensor([10, 999])
        unet = build_unet(8).eval()
        noisy, photo = torch.randn(2, 66, 8, 8), torch.randn(2, 66, 8, 8)
        kept = [*range(6), 64, 65]
        predicted = widen_unet(unet, 66).eval()(torch.cat([noisy, photo], 1), t, rows).sample
        before = unet(torch.cat([noisy[:, kept], photo[:, kept]], 1), t, rows).sample
        torch.testing.assert_close(predicted[:, kept], before, atol=1e-4, rtol=1e-4)
        assert not predicted[:, 6:64].any()


def test_half_a_batch_can_be_pure_noise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(RECIPES))
    from train_backbone import BATCH, Lessons  # type: ignore[import-not-found]

    (tmp_path / "triples").mkdir()
    rng = np.random.default_rng(0)
    np.save(tmp_path / "triples/000.photos.npy", rng.integers(0, 256, (4, 128, 128, 3), np.uint8))
    np.save(tmp_path / "triples/000.drawings.npy", rng.integers(0, 256, (4, 128, 128), np.uint8))
    row = json.dumps({"words": "pencil sketch", "levels": [5.0] * 10})
    (tmp_path / "triples/000.captions.jsonl").write_text((row + "\n") * 4)
    vae, tokenizer = PatchAutoencoder.from_pretrained(MINI / "vae"), CLIPTokenizer.from_pretrained(MINI / "tokenizer")
    spread, half, again = (Lessons(tmp_path, vae, tokenizer, 0, share).batch(3) for share in (0.0, 0.5, 0.5))
    assert spread[3].diff().min() >= 0 and (spread[3] // 42).unique().numel() > 12
    assert (half[3] == 999).nonzero().flatten().tolist() == list(range(BATCH // 2, BATCH))
    assert half[3][: BATCH // 2].diff().min() >= 0 and half[3][0] < 200
    assert all(torch.equal(a, b) for a, b in zip(half, again, strict=True))
    assert len(half[5]) == BATCH // 3
    small = Lessons(tmp_path, vae, tokenizer, 0, 0.5, BATCH // 4).batch(3)
    assert [len(part) for part in small] == [6] * 5 + [2] and (small[3] == 999).sum() == 3


def test_draws_before_the_last_are_weighed_by_their_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(RECIPES))
    from parts import build_scheduler, build_text_encoder, build_unet  # type: ignore[import-not-found]
    from train_backbone import Backbone, leaning  # type: ignore[import-not-found]

    parts = build_text_encoder(CLIPTokenizer.from_pretrained(MINI / "tokenizer")), build_unet(4)
    plain, weighed = Backbone(*parts, False), Backbone(*parts, False, None, 5.0)
    assert (plain.weight == 1).all() and weighed.weight[-1] == 1
    alphas = build_scheduler().alphas_cumprod
    expected = [min(a / (1 - a), 5) / (a / (1 - a) + 1) for a in alphas.double().tolist()]  # Hang et al. 2023, for v
    ratio = weighed.weight[:-1] / torch.tensor(expected[:-1])
    torch.testing.assert_close(ratio, ratio[:1].expand(999), rtol=1e-3, atol=0)
    drawn = leaning(torch.rand(100_000, generator=torch.Generator().manual_seed(0)))
    assert abs(weighed.weight[drawn].mean() - 1) < 0.02

    torch.manual_seed(0)
    z, photo, noise = torch.randn(3, 2, 4, 8, 8)
    ids, t = torch.zeros(2, 40, dtype=torch.int64), torch.tensor([999, 999])
    with torch.no_grad():
        assert torch.equal(plain(z, photo, ids, t, noise, z), weighed(z, photo, ids, t, noise, z))


@pytest.mark.parametrize("name", ["dodge", "xdog", "outlines", "hatching", "halftone", "line_weight"])
def test_a_mark_looks_the_same_at_twice_the_size(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(RECIPES))
    import drawing  # type: ignore[import-not-found]

    marks = {
        "dodge": lambda g: drawing.dodge(g, 4, 2),
        "xdog": lambda g: drawing.xdog(g, 1.2, 12, 0.5, 8),
        "outlines": lambda g: drawing.outlines(g, 1.2, 40),
        "hatching": lambda g: drawing.hatching(np.random.default_rng(0), g, 0.7, 8, 0.9, 0),
        "halftone": lambda g: drawing.halftone(g, 12),
        "line_weight": lambda g: drawing.line_weight(drawing.xdog(g, 1.2, 12, 0.5, 8), 5),
    }
    y, x = np.mgrid[:256, :256].astype(np.float32) / 256
    large = (0.5 + 0.4 * np.sin(9 * x + 3 * y) * np.cos(7 * y)).astype(np.float32)
    small = large.reshape(128, 2, 128, 2).mean((1, 3))
    whole, half = (marks[name](photo) for photo in (large, small))
    halved = whole.reshape(128, 2, 128, 2).mean((1, 3))
    assert np.abs(halved - half).mean() < 0.25 * half.std()
