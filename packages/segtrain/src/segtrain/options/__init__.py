"""The options of `segtrain run`, a frozen dataclass per panel of its help."""
