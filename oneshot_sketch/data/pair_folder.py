"""Anybody's pairs: photo/ and sketch/, matched by file name."""

from __future__ import annotations

from pathlib import Path

from datasets import Dataset

from oneshot_sketch.data.folders import folder, match_in
from oneshot_sketch.data.rows import PairFiles, Source, to_dataset

SOURCE = Source("A folder of pairs", "", "The terms are whatever the owner of the pictures says.")


def load(root: str | Path) -> Dataset:
    """root/photo and root/sketch, a pair having one stem; or the same inside root/train and root/test.

    Raises:
        InputError: a folder is missing or empty, or a picture has no partner.
    """
    return to_dataset([PairFiles(m.photo, m.sketch, m.key, None, m.split) for m in match_in(folder(root))], SOURCE)
