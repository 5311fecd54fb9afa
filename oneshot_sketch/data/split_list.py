"""The lists by which CUFS and CUFSF are usually split into training and test pairs."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from oneshot_sketch.errors import InputError


class TestList:
    """The test pairs by part and stem; every other pair is for training.

    The lists in circulation have one line a pair, its first field the photo: `AR/photos/102.jpg||…`. Their training
    list of CUFS leaves out one pair (XM2VTS 266), hence "267 or 268"; only the test list is read here, which gives
    268 and 338.
    """

    __test__ = False  # no test of pytest's

    def __init__(self, path: Path) -> None:
        """
        Raises:
            InputError: not such a list.
        """
        self.path = path
        try:
            photos = [Path(line.split("||")[0].strip()) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        except UnicodeDecodeError:
            raise InputError(f"{path} is not text; give the list with one line 'part/photos/name.jpg||…' a pair.") from None
        if not photos or any(len(photo.parts) < 2 for photo in photos):
            raise InputError(f"{path} is no list of test pairs; give the one with a line 'part/photos/name.jpg||…' a pair.")
        self.pairs = {(photo.parts[0].lower(), photo.stem) for photo in photos}

    def split(self, part: Collection[str], stems: Collection[str]) -> dict[str, str]:
        """Each photo's stem → "train" or "test"; `part` is what the list may call the folder, in lower case.

        Raises:
            InputError: the list names a photo of this part that is not there.
        """
        test = {stem for name, stem in self.pairs if name in part}
        missing = sorted(test - set(stems))
        if missing or not test:
            what = f"{missing[0]}, which is not there," if missing else "nothing"
            raise InputError(
                f"{self.path} lists {what} in {' or '.join(part)}; "
                "give the list made for this copy of the data set, or remove it."
            )
        return {stem: "test" if stem in test else "train" for stem in stems}
