"""Is the person still recognised? Photo and sketch of one face, found among all others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from oneshot_sketch.errors import InputError
from oneshot_sketch.metrics.accumulator import Accumulator, Score, needed
from oneshot_sketch.metrics.checks import check_two_sets
from oneshot_sketch.metrics.features import Features


def rank_one(gallery: Tensor, gallery_ids: Sequence[str], probes: Tensor, probe_ids: Sequence[str]) -> Tensor:
    """Which probes have a picture of their own person as nearest neighbour in the gallery: `rank_k` with k = 1."""
    return rank_k(gallery, gallery_ids, probes, probe_ids, 1)


def rank_k(gallery: Tensor, gallery_ids: Sequence[str], probes: Tensor, probe_ids: Sequence[str], k: int) -> Tensor:
    """Which probes have a picture of their own person among their k nearest neighbours in the gallery, by cosine: Acc@k.

    A tie with another person counts against the probe, so features that see no difference score 0, not luck.

    Args:
        gallery: (G, d) float.
        gallery_ids: G names, two people or more.
        probes: (P, d) float.
        probe_ids: P names, each in the gallery.
        k: at least 1.

    Returns:
        (P,) bool; its mean is the rank-k rate. Chance is about k in the number of people.

    Raises:
        InputError: features or names that do not match, one person only, a probe the gallery lacks, or k below 1.
    """
    if k < 1:
        raise InputError(f"retrieval looks among the k nearest, and k is {k}; it must be at least 1.")
    check_two_sets(gallery, probes)
    for features, names in ((gallery, gallery_ids), (probes, probe_ids)):
        if len(features) != len(names):
            raise InputError(f"retrieval needs one name a picture, not {len(names)} for {len(features)}.")
    number = {name: i for i, name in enumerate(dict.fromkeys(gallery_ids))}
    if len(number) < 2:
        raise InputError("retrieval needs at least two people in the gallery; judge more.")
    missing = sorted(set(probe_ids) - set(number))
    if missing:
        raise InputError(f"the gallery shows nobody called {missing[0]}; add a picture of every person drawn.")
    who, whose = (torch.tensor([number[name] for name in names]) for names in (gallery_ids, probe_ids))
    own = whose.to(probes.device)[:, None] == who.to(probes.device)
    nearness = F.normalize(probes, dim=1) @ F.normalize(gallery, dim=1).T
    nearest_own = nearness.masked_fill(~own, -torch.inf).amax(1, keepdim=True)
    return ((nearness >= nearest_own) & ~own).sum(1) < k


class IdentityRetrieval(Accumulator):
    """Rank-k rate of finding, from each drawn sketch, its person among all photos or all artist's sketches given.

    Args:
        features: what compares faces.
        gallery: where the person is looked for.
        k: among how many nearest.
    """

    higher_is_better = True

    def __init__(self, features: Features, gallery: Literal["photos", "truths"] = "photos", k: int = 1) -> None:
        super().__init__()
        self.label, self.k = f"Rank-{k} identity retrieval", k
        self.settings = f"{features.name}, cosine, among {gallery}"
        self.features, self.gallery = features, gallery
        self._found: list[tuple[Tensor, Tensor, Sequence[str]]] = []

    def compute(self) -> Score:
        if not self._found:
            raise InputError(f"{self.label} has judged no picture yet; update it first.")
        gallery, probes, names = zip(*self._found, strict=True)
        everyone = [name for batch in names for name in batch]
        hits = rank_k(torch.cat(gallery), everyone, torch.cat(probes), everyone, self.k).float()
        return Score(self.name, hits.mean().item(), tuple(hits.tolist()))

    def _seen(self) -> list[str]:
        people = {name for _, _, names in self._found for name in names}
        return [f"{len(people)} people", *super()._seen()]

    def _take(self, sketches: Tensor, truths: Tensor | None, photos: Tensor | None, identities: Sequence[str] | None) -> None:
        looked_through = needed(photos if self.gallery == "photos" else truths, self.gallery)
        if identities is None or len(identities) != len(sketches) or len(looked_through) != len(sketches):
            raise InputError(
                "retrieval needs one identity and one picture of the gallery for each sketch; give them to update()."
            )
        self._found.append((self.features(looked_through), self.features(sketches), tuple(identities)))
