"""The cascades of examples/cascade, from questions to records.

    python benchmarks/cascades.py --work build/cascades

collects what is missing (hours on a small machine; a run that was cut off goes on), measures every
stage alone, trains, evaluates, and writes `benchmarks/records/cascade_*.json`. SVAMP is read from
the directory that OUTRIDER_DATA names, or fetched; gemma3-270m needs OUTRIDER_ACCEPT_TERMS.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
TIMED = 24


def outrider(*arguments: object) -> str:
    command = [sys.executable, "-m", "outrider", "cascade", *map(str, arguments)]
    return subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE).stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "cascades")
    parser.add_argument("--records", type=Path, default=ROOT / "benchmarks" / "records")
    parser.add_argument("--only", choices=["collect", "time", "evaluate"], help="one of the steps")
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    for file in sorted((ROOT / "examples" / "cascade").glob("*.yml")):
        answers = arguments.work / f"{file.stem}.answers.jsonl"
        predictor = arguments.work / f"{file.stem}.predictor.json"
        report = arguments.work / f"{file.stem}.report"
        if arguments.only in (None, "collect"):
            outrider("collect", file, "--answers", answers)
        if arguments.only in (None, "time"):
            outrider("collect", file, "--answers", answers, "--limit", 0, "--timing", TIMED)
        if arguments.only in (None, "evaluate"):
            outrider("train", file, "--answers", answers, "--predictor", predictor)
            shared = ("--answers", answers, "--predictor", predictor, "--output", report)
            record = arguments.records / f"cascade_{file.stem.replace('-', '_')}.json"
            record.write_text(outrider("eval", file, *shared, "--json"), encoding="utf-8")


if __name__ == "__main__":
    main()
