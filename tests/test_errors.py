from __future__ import annotations

import pytest

from oneshot_sketch.errors import InputError, loading


def test_whatever_is_raised_becomes_one_sentence() -> None:
    with pytest.raises(InputError) as caught, loading("face.bin", "a face finder", "copy it again"):
        raise RuntimeError("the header is too short.\nand a page of more")
    assert str(caught.value) == "face.bin could not be loaded as a face finder (the header is too short); copy it again."
    assert isinstance(caught.value.__cause__, RuntimeError)


@pytest.mark.parametrize("kind", [InputError, MemoryError, KeyboardInterrupt])
def test_what_says_enough_passes(kind: type[BaseException]) -> None:
    with pytest.raises(kind, match="^as it was$"), loading("face.bin", "a face finder"):
        raise kind("as it was")
