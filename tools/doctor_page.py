"""Write the list of the doctor's rules into docs/doctor.md, from the rules themselves."""

import argparse
import sys
from pathlib import Path

from segtrain.doctor.findings import Rule
from segtrain.doctor.rulebook import rulebook

PAGE = Path(__file__).parents[1] / "docs" / "doctor.md"
BEGIN, END = "<!-- rules: begin -->", "<!-- rules: end -->"


def entry(rule: Rule) -> str:
    """What the page says of one rule."""
    return (
        f"### {rule.title}\n\n`{rule.name}`, at worst {article(rule.severity)}.\n\n"
        f"{rule.reason}\n\n*Evidence.* {rule.evidence}\n\n*Remedy.* {rule.remedy}\n"
    )


def article(severity: str) -> str:
    """A severity in a sentence."""
    return severity if severity == "fatal" else f"a {severity}"


def with_rules(page: str) -> str:
    """The page with the list of today's rules between its two marks.

    Raises:
        ValueError: If it has no such marks.
    """
    head, _, rest = page.partition(BEGIN)
    _, mark, tail = rest.partition(END)
    if not mark:
        raise ValueError(f"the page has no {BEGIN} and {END}")
    entries = "\n".join(map(entry, rulebook()))
    return f"{head}{BEGIN}\n\n{entries}\n{END}{tail}"


def main() -> None:
    """Write the page, or with `--check` only say whether it is fresh."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="exit with 1 where it is not fresh")
    given = parser.parse_args()
    page = PAGE.read_text("utf-8")
    fresh = with_rules(page)
    if given.check:
        sys.exit(fresh != page)
    PAGE.write_text(fresh, "utf-8")


if __name__ == "__main__":
    main()
