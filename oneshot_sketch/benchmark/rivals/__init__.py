"""The systems that come with the benchmark; importing this registers them."""

from oneshot_sketch.benchmark.rivals import filters, gatys, instruction, most_net, pix2pix, sdedit, text  # noqa: F401 # pyright: ignore[reportUnusedImport]
