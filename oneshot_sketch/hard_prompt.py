"""A first instruction in words: the prompt whose CLIP features come nearest a sketch's.

PEZ (Wen et al. 2023, "Hard Prompts Made Easy", Algorithm 1) with one image and one prompt. Deviation: begin, end and
padding tokens are never chosen, so that the answer is always text.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm.auto import tqdm

from oneshot_sketch.errors import InputError
from oneshot_sketch.models.clip import ClipTowers


@dataclass(frozen=True)
class HardPromptConfig:
    """Settings of the search; the defaults are those of VISII (Nguyen et al. 2023).

    Args:
        length: tokens of the prompt. Tokenized anew, its text may count a few more or fewer.
        steps: updates of the continuous prompt, one text forward and backward each.
        learning_rate, weight_decay: of AdamW.
        seed: of the random prompt the search starts from.
    """

    length: int = 10
    steps: int = 3000
    learning_rate: float = 0.1
    weight_decay: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("length", "steps"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}, but a hard prompt needs at least 1; raise it.")
        if not self.learning_rate > 0:
            raise InputError(f"learning_rate is {self.learning_rate}, so nothing would be learned; give a positive number.")
        if not self.weight_decay >= 0:
            raise InputError(f"weight_decay is {self.weight_decay}, which would make the prompt grow; give 0 or more.")


def find_hard_prompt(clip: ClipTowers, image: Tensor, config: HardPromptConfig | None = None, progress: bool = True) -> str:
    """Search for the words that describe an image to CLIP.

    Args:
        image: (1, 3, H, W) float in [-1, 1], on the device of `clip`.
        config: None = the defaults.
        progress: show a bar with the best cosine so far.

    Returns:
        The text of highest cosine among all prompts tried. On a CPU the same seed gives the same text.

    Raises:
        InputError: more than one image, or a prompt longer than the text tower reads.
    """
    config = config or HardPromptConfig()
    if image.ndim != 4 or len(image) != 1:
        raise InputError(f"a hard prompt describes one image (1, 3, H, W), not {tuple(image.shape)}; pass images one at a time.")
    with torch.no_grad():
        target = clip.encode_image(image).float()
        table = clip.token_table.float()
        allowed = torch.tensor(sorted(set(range(len(table))) - clip.special_ids), device=table.device)
        directions = F.normalize(table[allowed], dim=1)

    start = torch.randint(len(allowed), (config.length,), generator=torch.Generator().manual_seed(config.seed))
    best_cosine, best_ids = -torch.inf, allowed[start.to(table.device)]
    prompt = table[best_ids].requires_grad_()
    optimizer = torch.optim.AdamW([prompt], lr=config.learning_rate, weight_decay=config.weight_decay)
    with torch.enable_grad(), tqdm(range(config.steps), desc="hard prompt", disable=not progress) as bar:
        for _ in bar:
            ids = allowed[(F.normalize(prompt.detach(), dim=1) @ directions.T).argmax(1)]
            projected = table[ids].requires_grad_()
            cosine = F.cosine_similarity(clip.encode_tokens(projected[None]).float(), target).squeeze(0)
            # Algorithm 1: the gradient is taken at the projected prompt and applied to the continuous one.
            (prompt.grad,) = torch.autograd.grad(1 - cosine, projected)
            optimizer.step()
            if cosine.item() > best_cosine:
                best_cosine, best_ids = cosine.item(), ids
                bar.set_postfix(cosine=f"{best_cosine:.3f}")
    return clip.decode(best_ids.tolist())
