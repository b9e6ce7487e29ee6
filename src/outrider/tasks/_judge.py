"""The process that compares mathematical answers, run as `python -m outrider.tasks._judge`.

It says with a line that it is there. Then it reads a JSON object a line, with `gold` and `answer`,
and answers each with a line. It is a
process of its own because sympy can take for ever or all memory over a single power tower, and
neither a signal nor a thread can stop that from within.
"""

from __future__ import annotations

import json
import logging
import resource
import sys

MEMORY_BYTES = 2 << 30


def main() -> None:
    """Answers lines until there are no more."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    # It says that without its own time limit a caller needs one: the parent has it.
    logging.getLogger("math_verify").setLevel(logging.CRITICAL)
    from math_verify import parse, verify  # noqa: PLC0415

    print("ready", flush=True)
    for line in sys.stdin:
        pair = json.loads(line)
        try:
            gold, answer = (parse(pair[key], parsing_timeout=None) for key in ("gold", "answer"))
            equal = verify(gold, answer, timeout_seconds=None)
            verdict = {"equal": equal, "gold": _shown(gold), "answer": _shown(answer)}
        except (Exception, MemoryError, RecursionError) as error:
            verdict = {"equal": False, "error": type(error).__name__}
        print(json.dumps(verdict), flush=True)


def _shown(parsed: list[object]) -> str | None:
    return str(parsed[0]) if parsed else None


if __name__ == "__main__":
    main()
