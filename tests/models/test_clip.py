"""CLIP's two backends against the models they wrap, tiny and random."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import BertConfig, CLIPConfig, CLIPModel, CLIPTokenizer
from transformers.models.clip.image_processing_clip import CLIPImageProcessor

from oneshot_sketch.errors import InputError
from oneshot_sketch.models.clip import OPENAI_MEAN, OPENAI_STD, ClipTowers, OpenClip, TransformersClip, load_clip

SIDE = 16
LETTERS = "abcdefghijklmnopqrstuvwxyz"
BEGIN, END = "<|startoftext|>", "<|endoftext|>"
OPEN_CLIP_CONFIG: dict[str, Any] = {
    "embed_dim": 12,
    "vision_cfg": {"image_size": SIDE, "layers": 2, "width": 16, "head_width": 8, "patch_size": 8},
    "text_cfg": {"context_length": 12, "vocab_size": 49410, "width": 8, "heads": 2, "layers": 2},
}


def tiny_transformers_parts() -> tuple[CLIPModel, CLIPTokenizer]:
    """Letters are tokens, and "ink" is one; two rows of the table have no token."""
    vocabulary = [*LETTERS, *(letter + "</w>" for letter in LETTERS), "in", "ink</w>", BEGIN, END]
    merges: Any = [("i", "n"), ("in", "k</w>")]
    tokenizer = CLIPTokenizer(vocab={token: i for i, token in enumerate(vocabulary)}, merges=merges)
    text = {"vocab_size": len(vocabulary) + 2, "hidden_size": 8, "max_position_embeddings": 12}
    text |= {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.eos_token_id,
    }
    vision = {"hidden_size": 16, "image_size": SIDE, "patch_size": 8}
    layers = {"intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    torch.manual_seed(0)
    # Large weights: with CLIP's own, tiny towers barely depend on what they read.
    config = CLIPConfig(text_config=text | layers, vision_config=vision | layers, projection_dim=12, initializer_factor=5.0)
    return CLIPModel(config).eval(), tokenizer


def tiny_transformers() -> TransformersClip:
    return TransformersClip(*tiny_transformers_parts())


def tiny_open_clip(**text: Any) -> OpenClip:
    torch.manual_seed(0)
    model = open_clip.CLIP(**{**OPEN_CLIP_CONFIG, "text_cfg": OPEN_CLIP_CONFIG["text_cfg"] | text})
    return OpenClip(model, open_clip.SimpleTokenizer(context_length=12))


@pytest.fixture(params=[tiny_transformers, tiny_open_clip])
def towers(request: pytest.FixtureRequest) -> TransformersClip | OpenClip:
    return request.param()


def normalised(images: Tensor) -> Tensor:
    mean, std = (torch.tensor(x).view(1, 3, 1, 1) for x in (OPENAI_MEAN, OPENAI_STD))
    return (F.interpolate((images + 1) / 2, (SIDE, SIDE), mode="bicubic", antialias=True) - mean) / std


def photos(batch: int = 2, height: int = 20, width: int = 28) -> Tensor:
    return torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(1)) * 2 - 1


def test_image_features_are_transformers_own() -> None:
    towers = tiny_transformers()
    expected = towers.model.get_image_features(normalised(photos())).pooler_output
    torch.testing.assert_close(towers.encode_image(photos()), expected)


def test_image_features_follow_the_image_processor() -> None:
    towers = tiny_transformers()
    pixels = torch.randint(0, 256, (1, 3, SIDE, SIDE), generator=torch.Generator().manual_seed(2))
    inputs = CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size=SIDE)(pixels[0].byte(), return_tensors="pt")
    expected = towers.model.get_image_features(inputs["pixel_values"]).pooler_output
    torch.testing.assert_close(towers.encode_image(pixels / 127.5 - 1), expected)


def test_image_features_are_open_clips_own() -> None:
    towers = tiny_open_clip()
    torch.testing.assert_close(towers.encode_image(photos()), towers.model.encode_image(normalised(photos())))


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_token_features_are_transformers_own(attention: str) -> None:
    towers = tiny_transformers()
    towers.model.set_attn_implementation(attention)
    batch = towers.tokenizer(["ink", "a dog"], padding="max_length", max_length=12, return_tensors="pt")
    expected = towers.model.get_text_features(**batch).pooler_output
    assert (expected[0] - expected[1]).abs().max() > 1e-2
    for ids, mask, feature in zip(batch["input_ids"], batch["attention_mask"], expected, strict=True):
        words = ids[1 : int(mask.sum()) - 1]
        torch.testing.assert_close(towers.encode_tokens(towers.token_table[words][None])[0], feature)


@pytest.mark.parametrize("text", [{}, {"proj_bias": True}, {"proj_type": "none"}, {"pool_type": "eos", "eos_id": 49407}])
def test_token_features_are_open_clips_own(text: dict[str, Any]) -> None:
    towers = tiny_open_clip(**text)
    ids = towers.tokenizer(["soft pencil", "a dog in ink"])
    expected = towers.model.encode_text(ids)
    for row, feature in zip(ids, expected, strict=True):
        words = row[1 : int(row.argmax())]
        torch.testing.assert_close(towers.encode_tokens(towers.token_table[words][None])[0], feature)


def test_text_projection_is_the_models_own() -> None:
    pooled = torch.randn(3, 8, generator=torch.Generator().manual_seed(3))
    transformers, plain, biased = tiny_transformers(), tiny_open_clip(), tiny_open_clip(proj_bias=True)
    assert isinstance(biased.model.text_projection, nn.Linear)
    torch.testing.assert_close(transformers.project_text(pooled), transformers.model.text_projection(pooled))
    torch.testing.assert_close(plain.project_text(pooled), pooled @ plain.model.text_projection)
    torch.testing.assert_close(biased.project_text(pooled), biased.model.text_projection(pooled))


def test_shapes_and_special_ids(towers: TransformersClip | OpenClip) -> None:
    clip: ClipTowers = towers
    assert clip.text_width == 8
    assert clip.token_table.shape[1] == 8
    assert clip.encode_image(photos(3)).shape == (3, 12)
    assert clip.encode_tokens(clip.token_table[:5].expand(2, 5, 8)).shape == (2, 12)
    last = len(clip.token_table)
    assert clip.special_ids == {last - 4, last - 3, last - 2, last - 1}, "begin, end and two rows without a token"


def test_decode_gives_the_words_back() -> None:
    transformers, plain = tiny_transformers(), tiny_open_clip()
    assert transformers.decode(transformers.tokenizer("ink a dog")["input_ids"][1:-1]) == "ink a dog"
    assert plain.decode(plain.tokenizer.encode("ink a dog")) == "ink a dog"


def test_gradient_reaches_inputs_and_no_weight(towers: TransformersClip | OpenClip) -> None:
    images, rows = photos().requires_grad_(), towers.token_table[:5][None].clone().requires_grad_()
    pooled = torch.ones(1, 8, requires_grad=True)
    features = (towers.encode_image(images), towers.encode_tokens(rows), towers.project_text(pooled))
    torch.stack([f.square().sum() for f in features]).sum().backward()
    for leaf in (images, rows, pooled):
        assert leaf.grad is not None and leaf.grad.isfinite().all() and leaf.grad.abs().sum() > 0
    assert all(not p.requires_grad and p.grad is None for p in towers.parameters())


def test_train_keeps_evaluation_mode(towers: TransformersClip | OpenClip) -> None:
    nn.ModuleList([towers]).train()
    assert not any(module.training for module in towers.modules())


def test_weights_in_half_precision_read_float32_inputs(towers: TransformersClip | OpenClip) -> None:
    images, rows = photos(), towers.token_table[:5][None].clone()
    exact = towers.encode_image(images), towers.encode_tokens(rows)
    towers.to(torch.bfloat16)
    rough = towers.encode_image(images), towers.encode_tokens(rows)
    for a, b in zip(exact, rough, strict=True):
        assert b.dtype == torch.bfloat16
        assert F.cosine_similarity(a, b.float()).min() > 0.99


def test_wrong_shapes_are_refused(towers: TransformersClip | OpenClip) -> None:
    with pytest.raises(InputError, match=r"\(1, 1, 16, 16\)"):
        towers.encode_image(torch.zeros(1, 1, 16, 16))
    with pytest.raises(InputError, match="11 tokens does not fit the 10"):
        towers.encode_tokens(torch.zeros(1, 11, 8))


def test_a_folder_gives_the_same_towers(tmp_path: Path) -> None:
    model, tokenizer = tiny_transformers_parts()
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    loaded, expected = load_clip(str(tmp_path)), tiny_transformers()
    torch.testing.assert_close(loaded.encode_image(photos()), expected.encode_image(photos()))
    rows = expected.token_table[:4][None]
    torch.testing.assert_close(loaded.encode_tokens(rows), expected.encode_tokens(rows))

    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"image_mean": [0.5] * 3, "image_std": [0.25] * 3}))
    other = TransformersClip.from_pretrained(tmp_path)
    assert other.mean.flatten().tolist() == [0.5] * 3
    assert other.std.flatten().tolist() == [0.25] * 3


def test_other_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be loaded"):
        load_clip(str(tmp_path / "missing"))
    with pytest.raises(InputError, match="cannot be loaded"):
        TransformersClip.from_pretrained("nobody/no-such-clip", local_files_only=True)

    BertConfig().save_pretrained(tmp_path)
    with pytest.raises(InputError, match="type bert"):
        load_clip(str(tmp_path))

    model, tokenizer = tiny_transformers_parts()
    model.save_pretrained(tmp_path)
    with pytest.raises(InputError, match="tokenizer"):
        load_clip(str(tmp_path))

    tokenizer.save_pretrained(tmp_path)
    whole = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    save_file({k: v for k, v in whole.items() if k != "text_projection.weight"}, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(InputError, match="text_projection.weight"):
        load_clip(str(tmp_path))

    (tmp_path / "model.safetensors").write_bytes(b"no tensors here")
    with pytest.raises(InputError, match="cannot be loaded"):
        load_clip(str(tmp_path))

    (tmp_path / "model.safetensors").unlink()
    torch.save(whole, tmp_path / "pytorch_model.bin")
    with pytest.raises(InputError, match="cannot be loaded"):
        load_clip(str(tmp_path))


def test_open_clip_loads_a_file_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = tiny_open_clip()
    weights = tmp_path / "weights.safetensors"
    save_file(expected.model.state_dict(), weights)
    monkeypatch.setattr(open_clip.factory, "_MODEL_CONFIGS", {"ViT-tiny": OPEN_CLIP_CONFIG})
    loaded = load_clip(f"open_clip:ViT-tiny/{weights}")
    torch.testing.assert_close(loaded.encode_image(photos()), expected.encode_image(photos()))

    torch.save(expected.model.state_dict(), tmp_path / "weights.pt")
    with pytest.raises(InputError, match="pickle"):
        load_clip(f"open_clip:ViT-tiny/{tmp_path / 'weights.pt'}")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("open_clip:ViT-B-32/openai", "ViT-B-32-quickgelu"),
        ("open_clip:ViT-H-14/dfn5b", "ViT-H-14-quickgelu"),
        ("open_clip:ViT-H-14/no_such_weights", "laion2b_s32b_b79k"),
        ("open_clip:ViT-Z-99/openai", "list_models"),
        ("open_clip:ViT-H-14", "names no weights"),
    ],
)
def test_open_clip_names_are_checked_before_any_download(name: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_clip, "download_pretrained", lambda *_, **__: pytest.fail("tried to download"))
    with pytest.raises(InputError, match=message):
        load_clip(name)


def test_an_unreachable_download_is_an_input_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: object) -> str:
        raise FileNotFoundError("Failed to download file")

    monkeypatch.setattr(open_clip, "download_pretrained", offline)
    with pytest.raises(InputError, match="Failed to download file"):
        load_clip("open_clip:ViT-B-32-quickgelu/openai")


@pytest.mark.parametrize("text", [{"no_causal_mask": True}, {"pool_type": "last"}])
def test_other_text_towers_are_refused(text: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="another text tower"):
        tiny_open_clip(**text)
