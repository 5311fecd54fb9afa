"""Triples and the trained text encoder → the small CLIP of `mini` (step 5 of the embedded backbone).

    python recipes/mini_backbone/train_clip.py --run runs/mini --weights runs/mini/decayed --minutes 6

The text encoder stays frozen; an image tower and both projections learn that the direction from photo to drawing, and
the drawing itself, match the caption (InfoNCE). Captions are projected from their EOS row, as CLIP reads them, and from
the mean of the rows an instruction frees by default, as the edit loss reads them.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path

import numpy as np
import torch
from edits import paraphrase
from parts import WIDTH, count
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm
from transformers import CLIPConfig, CLIPModel, CLIPTextModel, CLIPTokenizer
from triples import to_tensor

from oneshot_sketch.attributes import describe
from oneshot_sketch.learners import InstructionLearnerConfig
from oneshot_sketch.models.clip import TransformersClip

BATCH, RATE, HELD_OUT = 64, 1e-3, 512


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="folder with triples/")
    parser.add_argument("--weights", type=Path, required=True, help="folder with text_encoder/ and tokenizer/")
    parser.add_argument("--start", type=Path, help="clip/ of an earlier edition, whose image tower and projections to go on from")
    parser.add_argument("--minutes", type=float, default=6)
    args = parser.parse_args()
    torch.manual_seed(0)

    tokenizer = CLIPTokenizer.from_pretrained(args.weights / "tokenizer")
    text_encoder = CLIPTextModel.from_pretrained(args.weights / "text_encoder")
    model = build_clip(text_encoder)
    if args.start is not None:
        earlier = CLIPModel.from_pretrained(args.start, dtype=torch.float32).state_dict()
        model.load_state_dict({k: v for k, v in earlier.items() if not k.startswith("text_model")}, strict=False)
    print(f"image tower {count(model.vision_model)}")
    clip = TransformersClip(model, tokenizer)
    learned = [p for n, p in model.named_parameters() if not n.startswith("text_model")]
    for p in learned:
        p.requires_grad_(True)
    optimiser = torch.optim.AdamW(learned, lr=RATE, weight_decay=0.05)
    triples = Triples(args.run, tokenizer)

    start, bar = time.monotonic(), tqdm(desc="clip", mininterval=10)
    while (done := (time.monotonic() - start) / (60 * args.minutes)) < 1:
        for group in optimiser.param_groups:
            group["lr"] = RATE * min(1, (bar.n + 1) / 50) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done)))
        loss, _ = contrast(model, clip, *triples.batch(bar.n))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        bar.update()
        if bar.n % 20 == 0:
            bar.set_postfix(loss=f"{loss.item():.3f}")
    with torch.no_grad():
        hits = torch.stack([contrast(model, clip, *triples.batch(i, held_out=True))[1] for i in range(8)]).mean(0)
    report = {"steps": bar.n, "held-out top-1 of 64": {"direction": hits[0].item(), "drawing": hits[1].item()}}
    print(json.dumps(report))
    model.save_pretrained(args.run / "clip")
    tokenizer.save_pretrained(args.run / "clip")
    (args.run / "clip.json").write_text(json.dumps(report))


def build_clip(text_encoder: CLIPTextModel) -> CLIPModel:
    vision = {
        "hidden_size": 192,
        "intermediate_size": 384,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "image_size": 64,
        "patch_size": 8,
        "projection_dim": WIDTH,
    }
    config = CLIPConfig(text_config=text_encoder.config.to_dict(), vision_config=vision, projection_dim=WIDTH)
    config._attn_implementation = "eager"
    model = CLIPModel(config)
    source = {k.removeprefix("text_model."): v for k, v in text_encoder.state_dict().items()}
    model.text_model.load_state_dict(source)
    return model


def contrast(model: CLIPModel, clip: TransformersClip, photos: Tensor, drawings: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
    """InfoNCE of directions and drawings against captions, and their top-1 accuracies (2,)."""
    with torch.no_grad():
        rows = model.text_model(ids).last_hidden_state
        end = rows[torch.arange(len(ids)), (ids == model.config.text_config.eos_token_id).int().argmax(1)]
        free = InstructionLearnerConfig().rows or rows.shape[1] - 1
        mean = rows[:, 1 : 1 + free].mean(1)
    drawn, seen = clip.encode_image(torch.cat([drawings, photos])).chunk(2)
    images = [F.normalize(x, dim=-1) for x in (drawn - seen, drawn)]
    texts = [F.normalize(clip.project_text(x), dim=-1) for x in (end, mean)]
    scale, truth = model.logit_scale.exp().clamp(max=100), torch.arange(len(ids))
    losses, hits = [], []
    for image in images:
        for text in texts:
            logits = scale * image @ text.T
            losses.append(F.cross_entropy(logits, truth) + F.cross_entropy(logits.T, truth))
        hits.append((logits.argmax(1) == truth).float().mean())
    return torch.stack(losses).mean() / 2, torch.stack(hits)


class Triples:
    def __init__(self, run: Path, tokenizer: CLIPTokenizer) -> None:
        self.tokenizer = tokenizer
        self.shards = []
        for file in sorted((run / "triples").glob("*.captions.jsonl")):
            stem = file.name.split(".")[0]
            rows = [json.loads(line) for line in file.read_text().splitlines()]
            images = (np.load(file.with_name(f"{stem}.{kind}.npy"), mmap_mode="r") for kind in ("photos", "drawings"))
            self.shards.append((rows, *images))

    def batch(self, step: int, held_out: bool = False) -> tuple[Tensor, Tensor, Tensor]:
        rng = np.random.default_rng([int(held_out), step])
        rows, photos, drawings = self.shards[0 if held_out else rng.integers(len(self.shards))]
        first = rng.integers(0, HELD_OUT if held_out else len(rows) - BATCH)
        first = first if held_out or self.shards[0][0] is not rows else max(first, HELD_OUT + BATCH)
        i = np.arange(first, first + BATCH)
        captions = []
        for j in i:
            words, levels = paraphrase(rng, rows[j]["words"]), describe(torch.tensor(rows[j]["levels"]))
            captions.append((words, levels, f"{words} {levels}")[rng.integers(3)])
        ids = self.tokenizer(captions, padding="max_length", truncation=True, return_tensors="pt").input_ids
        return to_tensor(np.asarray(photos[i])), to_tensor(np.asarray(drawings[i])).expand(-1, 3, -1, -1), ids


if __name__ == "__main__":
    main()
