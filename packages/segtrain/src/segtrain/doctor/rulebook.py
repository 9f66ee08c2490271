"""The rules, found by their files."""

import functools
import importlib
import pkgutil

from segtrain.doctor import rules as folder
from segtrain.doctor.findings import Rule


@functools.cache
def rulebook() -> tuple[Rule, ...]:
    """All rules, by name; each is the `RULE` of a module in `segtrain.doctor.rules`."""
    names = sorted(module.name for module in pkgutil.iter_modules(folder.__path__))
    modules = [importlib.import_module(f"{folder.__name__}.{name}") for name in names]
    return tuple(module.RULE for module in modules)
