"""A generated data set in the official layouts, to try everything without a download."""

from segdata.toy.dataset import ToySummary, make_toy, share_out

__all__ = ["ToySummary", "make_toy", "share_out"]
