"""The parts of tools/gpu_check.py: what is checked and measured, and the report."""
