"""Cuts by a box that a test chooses."""

from PIL import Image

from segtrain.transforms import Box, Mask, Pixels, blank, cut_image, cut_mask


def apply(image: Image.Image, mask: Mask, box: Box) -> tuple[Pixels, Mask]:
    """Cut image and mask by one box, then flip both where it says so.

    Returns:
        uint8 `(cut_height, cut_width, 3)` and uint8 `(cut_height, cut_width)`.
    """
    pixels, target = blank(box)
    window = box.window(image.size)
    cut_image(image, window, box, pixels)
    cut_mask(mask, window, box, target)
    return pixels, target
