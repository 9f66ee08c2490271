"""Layers that are frozen against the options, and the reverse."""

from torch import nn

from segtrain.doctor.examination import BATCH_NORMS, Examination
from segtrain.doctor.findings import Finding, Healthy, Opinion, Rule


def examine(exam: Examination) -> Opinion:
    """Compare what is frozen with what `--freeze` says."""
    model = exam.patient.model
    wanted = frozen_parts(model)
    state = {name: p.requires_grad for name, p in model.named_parameters()}
    frozen = {name for name, trains in state.items() if not trains}
    asked = {name for name in state if within(name, wanted)}
    findings = [*too_many(sorted(frozen - asked)), *too_few(sorted(asked - frozen))]
    loose = sorted(n for n, m in model.named_modules() if within(n, wanted) and is_loose(m))
    if loose:
        findings.append(
            RULE.finding(
                "warning",
                f"{shortened(loose)} are frozen, but their batch statistics move with every step.",
                evidence="these batch norms are in training mode",
                remedy="put frozen batch norms in evaluation mode",
                modules=loose,
            )
        )
    if findings:
        return findings
    kept = f"{', '.join(wanted)} frozen as asked, the rest trains" if wanted else "all layers train"
    return Healthy(kept)


def frozen_parts(model: nn.Module) -> tuple[str, ...]:
    """The parts of the net that an option keeps as they start."""
    return tuple(getattr(model, "frozen", ()))


def within(name: str, parts: tuple[str, ...]) -> bool:
    """Whether a parameter or module belongs to one of these parts."""
    return any(name == part or name.startswith(f"{part}.") for part in parts)


def is_loose(module: nn.Module) -> bool:
    """Whether this is a batch norm that follows its batches."""
    return isinstance(module, BATCH_NORMS) and module.training


def too_many(names: list[str]) -> list[Finding]:
    """Frozen, though no option asks for it."""
    if not names:
        return []
    return [
        RULE.finding(
            "warning",
            f"{shortened(names)} will not learn: frozen, though no option asks for it.",
            evidence=f"requires_grad is off for {len(names)} parameters",
            parameters=names,
        )
    ]


def too_few(names: list[str]) -> list[Finding]:
    """Not frozen, though an option asks for it."""
    if not names:
        return []
    return [
        RULE.finding(
            "warning",
            f"{shortened(names)} will change, though --freeze is to keep them as they are.",
            evidence=f"requires_grad is on for {len(names)} parameters",
            parameters=names,
        )
    ]


def shortened(names: list[str], most: int = 4) -> str:
    """The first few of some names."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


RULE = Rule(
    name="frozen-layers",
    title="Frozen layers",
    severity="warning",
    reason="A parameter whose `requires_grad` is off is not even in the optimiser. Freezing is "
    "an option (Long et al., CVPR 2015, section 4.3: the classifier alone reaches 70 % of what the "
    "whole net does); freezing by accident is a fault that no loss curve shows.",
    evidence="`requires_grad` of each parameter against --freeze; batch norms of a frozen part "
    "must not follow their batches.",
    remedy="--freeze none, trunk or head, and no requires_grad anywhere else.",
    examine=examine,
)
