"""The systems that come with the benchmark; importing this registers them."""

from oneshot_sketch.benchmark.rivals import (  # noqa: F401
    filters,  # pyright: ignore[reportUnusedImport]
    gatys,  # pyright: ignore[reportUnusedImport]
    ide,  # pyright: ignore[reportUnusedImport]
    instruction,  # pyright: ignore[reportUnusedImport]
    most_net,  # pyright: ignore[reportUnusedImport]
    pix2pix,  # pyright: ignore[reportUnusedImport]
    sdedit,  # pyright: ignore[reportUnusedImport]
    stylesketch,  # pyright: ignore[reportUnusedImport]
    text,  # pyright: ignore[reportUnusedImport]
)
