"""The founding paper's own table, to lay beside ours: arXiv 2506.15312, Tables 1–3, OS-Sketch, one-shot."""

TITLE = "As published for OS-Sketch (arXiv 2506.15312, Tables 1–3)"
CAUTION = (
    "These are the paper's numbers, not ours: other data, pretrained networks that are not used here, other metric settings (the "
    "paper does not say which), and a graphics card. They say nothing about the rows above."
)
COLUMNS = ("method", "SSIM ↑", "LPIPS ↓", "FID ↓", "learning, s", "a photo, s")
ROWS = (
    ("PANet", 0.427, 0.446, 116.67, 6062.20, None),
    ("DCNP", 0.448, 0.495, 111.10, 11954.76, None),
    ("HIDA", 0.408, 0.412, 79.13, 10361.46, None),
    ("HiFiSketch", 0.354, 0.497, 128.62, 71058.99, None),
    ("InstructPix2Pix, text only", 0.437, 0.348, 78.91, None, None),
    ("PnP-Diffusion", 0.388, 0.545, 139.59, None, 194.21),
    ("pix2pix-zero", 0.336, 0.632, 190.25, None, 24.93),
    ("the paper", 0.461, 0.348, 68.46, 7616.35, 5.99),
)
