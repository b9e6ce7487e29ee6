"""Fail if a test run skipped a test that the committed list does not allow.

    python .ci/check_skips.py REPORT.xml…

A line of `.ci/allowed-skips.txt` is `pattern | reason`: the pattern is matched as in a shell
against `file::test` (parameters included), the reason has to stand in what the test says when it
skips. Tests that are expected to fail count as skipped too.
"""

from __future__ import annotations

import sys
from fnmatch import fnmatchcase
from pathlib import Path
from xml.etree import ElementTree

ALLOWED = Path(__file__).with_name("allowed-skips.txt")


def allowed() -> list[tuple[str, str]]:
    """The pairs (pattern, reason) of the committed list."""
    pairs = []
    for line in ALLOWED.read_text(encoding="utf-8").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        pattern, bar, reason = line.partition(" | ")
        if not bar or not reason.strip():
            raise SystemExit(f"{ALLOWED.name} has a line without a reason: {line!r}")
        pairs.append((pattern.strip(), reason.strip()))
    return pairs


def skipped(report: Path) -> list[tuple[str, str]]:
    """The pairs (`file::test`, reason) of a JUnit report of the family xunit1."""
    found = []
    for case in ElementTree.parse(report).iter("testcase"):
        test = f"{case.get('file')}::{case.get('name')}"
        found += [(test, mark.get("message", "")) for mark in case.iter("skipped")]
    return found


def main(reports: list[str]) -> int:
    """0 where every skip is on the list; otherwise each other one is printed."""
    pairs = allowed()
    skips = [skip for report in reports for skip in skipped(Path(report))]
    refused = [
        (test, why)
        for test, why in skips
        if not any(fnmatchcase(test, pattern) and reason in why for pattern, reason in pairs)
    ]
    for test, why in refused:
        print(f"skipped, and not on {ALLOWED.name}: {test}: {why}")
    print(f"{len(skips)} skipped, {len(refused)} of them without leave")
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
