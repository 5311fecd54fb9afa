"""The parts of `mini` before training, all of them stock diffusers and transformers classes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from edits import WORDS
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from oneshot_sketch.attributes import ATTRIBUTES

ROWS = 40  # tokens of an instruction
WIDTH = 256  # of its embedding
START, END = "<|startoftext|>", "<|endoftext|>"


def build_tokenizer(folder: Path) -> CLIPTokenizer:
    """A byte-pair vocabulary in which every word of the lessons is one token; saved to `folder`.

    The trainer breaks ties by the order of a hash table, which changes from run to run, so words are given counts that
    leave none, and tokens are numbered anew.
    """
    trainer = trainers.BpeTrainer(
        vocab_size=4000,
        min_frequency=1,
        special_tokens=[START, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    bpe = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    lessons = [*WORDS, *ATTRIBUTES]
    letters = [character for character in pre_tokenizers.ByteLevel.alphabet()]
    bpe.pre_tokenizer = pre_tokenizers.Whitespace()
    counts = np.random.default_rng(0).integers(10_000, 20_000, len(lessons)).tolist()
    bpe.train_from_iterator([[word] * count for word, count in zip(lessons, counts, strict=True)] + [letters], trainer)
    merges = json.loads(bpe.to_str())["model"]["merges"]
    ends = [letter + "</w>" for letter in sorted(letters)]
    tokens = dict.fromkeys([START, END, *sorted(letters), *ends, *("".join(merge) for merge in merges)])
    vocabulary = {token: i for i, token in enumerate(tokens)}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(" ".join(m) for m in merges) + "\n")
    tokenizer = CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=ROWS)
    for word in lessons:
        if len(tokenizer(word).input_ids) != 3:
            raise SystemExit(f"The tokenizer splits {word!r}: {tokenizer.tokenize(word)}")
    tokenizer.save_pretrained(folder)
    return tokenizer


def build_text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        intermediate_size=2 * WIDTH,
        projection_dim=WIDTH,
        num_hidden_layers=3,
        num_attention_heads=4,
        max_position_embeddings=ROWS,
        hidden_act="gelu",
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        initializer_factor=4.0,
        attn_implementation="eager",
    )
    return CLIPTextModel(config)


def build_unet(channels: int) -> UNet2DConditionModel:
    """Convolutions at 16×16, attention at 8×8 and 4×4; the pooled instruction modulates every block."""
    unet = UNet2DConditionModel(
        sample_size=16,
        in_channels=2 * channels,
        out_channels=channels,
        block_out_channels=(112, 160, 224),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        cross_attention_dim=WIDTH,
        attention_head_dim=4,
        norm_num_groups=16,
        resnet_time_scale_shift="scale_shift",
        addition_embed_type="text",
        addition_embed_type_num_heads=4,
    )
    unet.set_attn_processor(AttnProcessor())
    return unet


def build_scheduler() -> DDIMScheduler:
    """v-prediction on Stable Diffusion's betas, rescaled to zero terminal signal (Lin et al. 2024)."""
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
        clip_sample=False,
        set_alpha_to_one=True,
    )


def count(module: torch.nn.Module) -> str:
    return f"{sum(p.numel() for p in module.parameters()) / 1e6:.1f} M"
