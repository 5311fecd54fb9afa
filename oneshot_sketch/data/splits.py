"""A split for data sets that come without one."""

from __future__ import annotations

import hashlib

from datasets import Dataset

from oneshot_sketch.errors import InputError


def split_by_hash(rows: Dataset, test_share: float) -> Dataset:
    """Rows whose `split` is "train" or "test" by the SHA-256 of their identity, so that more rows never move one.

    Args:
        rows: as `load_pairs` gives them.
        test_share: about how much of them is "test", above 0 and below 1.

    Raises:
        InputError: a share out of range.
    """
    if not 0 < test_share < 1:
        raise InputError(f"the share of test pairs is {test_share}; it must be above 0 and below 1.")

    def split(identity: str) -> str:
        number = int.from_bytes(hashlib.sha256(identity.encode()).digest()[:8], "big")
        return "test" if number < test_share * 2**64 else "train"

    labels = [split(identity) for identity in rows["identity"]]
    return rows.remove_columns("split").add_column("split", labels)
