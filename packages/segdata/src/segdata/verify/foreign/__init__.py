"""Masks that anybody made: what usually goes wrong with them, found and named.

One module per kind of defect measures it or judges a set by it; `verification` puts them together.
"""

from segdata.verify.foreign.catalogue import CATALOGUE, Defect, markdown
from segdata.verify.foreign.palettes import Classes, listed_classes, parse_classes
from segdata.verify.foreign.report import MaskFinding, MasksReport
from segdata.verify.foreign.verification import verify_masks

__all__ = [
    "CATALOGUE",
    "Classes",
    "Defect",
    "MaskFinding",
    "MasksReport",
    "listed_classes",
    "markdown",
    "parse_classes",
    "verify_masks",
]
