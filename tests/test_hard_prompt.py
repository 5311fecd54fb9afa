"""PEZ on a tiny random CLIP whose decoder writes token ids, so that the answer can be scored exactly."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer

from oneshot_sketch.errors import InputError
from oneshot_sketch.hard_prompt import HardPromptConfig, find_hard_prompt
from oneshot_sketch.models.clip import TransformersClip

LETTERS = "abcdefghijklmnopqrstuvwxyz"
SHORT = HardPromptConfig(length=4, steps=40)


class NumberedClip(TransformersClip):
    def decode(self, ids: Sequence[int]) -> str:
        return " ".join(map(str, ids))


def tiny_clip(kind: type[TransformersClip] = NumberedClip) -> TransformersClip:
    vocabulary = [*LETTERS, *(letter + "</w>" for letter in LETTERS), "<|startoftext|>", "<|endoftext|>"]
    tokenizer = CLIPTokenizer(vocab={token: i for i, token in enumerate(vocabulary)}, merges=[])
    layers = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = {"vocab_size": len(vocabulary), "max_position_embeddings": 10, "eos_token_id": tokenizer.eos_token_id}
    vision = {"image_size": 16, "patch_size": 8}
    torch.manual_seed(0)
    # Large weights: with CLIP's own, tiny towers barely depend on what they read.
    return kind(
        CLIPModel(CLIPConfig(text_config=text | layers, vision_config=vision | layers, projection_dim=8, initializer_factor=5.0)),
        tokenizer,
    )


def picture() -> Tensor:
    return torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(1)) * 2 - 1


def score(clip: TransformersClip, ids: Tensor) -> Tensor:
    """Cosines (B,) of prompts (B, n) with the picture."""
    with torch.no_grad():
        return F.cosine_similarity(clip.encode_tokens(clip.token_table[ids]), clip.encode_image(picture()))


def test_search_beats_random_prompts() -> None:
    clip = tiny_clip()
    found = torch.tensor([[int(i) for i in find_hard_prompt(clip, picture(), SHORT, progress=False).split()]])
    assert found.shape == (1, 4)
    assert not clip.special_ids & set(found[0].tolist())
    random = score(clip, torch.randint(len(clip.tokenizer) - 2, (SHORT.steps, 4), generator=torch.Generator().manual_seed(2)))
    assert score(clip, found) > random.max(), "as many random prompts as the search tried"


def test_more_steps_never_hurt() -> None:
    clip = tiny_clip()
    cosines = []
    for steps in (1, 5, 40):
        text = find_hard_prompt(clip, picture(), HardPromptConfig(length=4, steps=steps), progress=False)
        cosines.append(score(clip, torch.tensor([[int(i) for i in text.split()]])).item())
    assert cosines[0] < cosines[-1]
    assert cosines == sorted(cosines)


def test_gradient_is_taken_at_the_projection_and_applied_to_the_prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three steps of the search, against the algorithm written out."""
    clip = tiny_clip()
    target, table = clip.encode_image(picture()), clip.token_table[: len(clip.tokenizer) - 2]
    read: list[Tensor] = []
    encode = clip.encode_tokens
    monkeypatch.setattr(clip, "encode_tokens", lambda rows: (read.append(rows.detach().clone()), encode(rows))[1])
    find_hard_prompt(clip, picture(), HardPromptConfig(length=4, steps=3), progress=False)

    prompt = read[0][0].clone().requires_grad_()
    optimizer = torch.optim.AdamW([prompt], lr=0.1, weight_decay=0.1)
    for rows in read:
        nearest = torch.stack([F.cosine_similarity(row[None], table).argmax() for row in prompt.detach()])
        projected = table[nearest].clone().requires_grad_()
        torch.testing.assert_close(rows[0], projected.detach())
        (1 - F.cosine_similarity(encode(projected[None]), target)).sum().backward()
        prompt.grad = projected.grad
        optimizer.step()


def test_a_seed_gives_one_text_whatever_the_global_state() -> None:
    clip = tiny_clip(TransformersClip)
    torch.manual_seed(5)
    first = find_hard_prompt(clip, picture(), SHORT, progress=False)
    state = torch.random.get_rng_state()
    torch.manual_seed(6)
    with torch.no_grad():
        second = find_hard_prompt(clip, picture(), SHORT, progress=False)
    assert first == second
    assert first.strip() == first and set(first) <= {*LETTERS, " "} and first
    torch.manual_seed(5)
    assert torch.equal(state, torch.random.get_rng_state()), "the global generator is left alone"
    starts = {find_hard_prompt(clip, picture(), HardPromptConfig(length=4, steps=1, seed=s), progress=False) for s in range(4)}
    assert len(starts) > 1


def test_no_weight_gets_a_gradient() -> None:
    clip = tiny_clip()
    before = {name: value.clone() for name, value in clip.state_dict().items()}
    find_hard_prompt(clip, picture(), HardPromptConfig(length=2, steps=2), progress=False)
    assert all(p.grad is None for p in clip.parameters())
    assert all(torch.equal(value, before[name]) for name, value in clip.state_dict().items())


def test_progress_bar_is_optional(capsys: pytest.CaptureFixture[str]) -> None:
    clip, config = tiny_clip(), HardPromptConfig(length=2, steps=2)
    find_hard_prompt(clip, picture(), config, progress=False)
    assert not capsys.readouterr().err
    find_hard_prompt(clip, picture(), config)
    assert "hard prompt" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "value"),
    [("length", 0), ("steps", 0), ("learning_rate", 0.0), ("learning_rate", float("nan")), ("weight_decay", -1.0)],
)
def test_nonsense_is_refused_by_name(name: str, value: float) -> None:
    with pytest.raises(InputError, match=name):
        HardPromptConfig(**{name: value})  # type: ignore[arg-type]


def test_one_image_and_a_prompt_that_fits() -> None:
    with pytest.raises(InputError, match="one image"):
        find_hard_prompt(tiny_clip(), torch.zeros(2, 3, 16, 16), SHORT, progress=False)
    with pytest.raises(InputError, match="shorten"):
        find_hard_prompt(tiny_clip(), picture(), HardPromptConfig(length=9, steps=1), progress=False)
