"""One rule per file; `segtrain.doctor` says how to add one."""
