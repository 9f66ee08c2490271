"""`segdata verify-masks`: an independent check of a shards directory.

Nothing here imports the code that labels, resizes or writes: rasteriser, label policies, nearest
rule and format are stated a second time, so that an error has to be made twice to stay unseen.
"""

from segdata.verify.findings import ADVICE, Finding, Report
from segdata.verify.verification import verify

__all__ = ["ADVICE", "Finding", "Report", "verify"]
