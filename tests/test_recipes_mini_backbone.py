"""What the embedded backbone is made of comes out the same every time."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torchvision.models import squeezenet1_1

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
