"""Answers questions with what lies beside this file, without a network.

    python3 run.py QUESTIONS -o ANSWERS.jsonl

Further options are those of `outrider answer`; `python3 run.py --help` lists them.
"""

import json
import os
import sys
import sysconfig
from pathlib import Path

here = Path(__file__).resolve().parent
manifest = json.loads((here / "manifest.json").read_text(encoding="utf-8"))
wanted = (manifest["implementation"], manifest["python"], manifest["platform"])
found = (sys.implementation.name, "{}.{}".format(*sys.version_info[:2]), sysconfig.get_platform())
if found != wanted:
    sys.exit(
        "error: this bundle runs with {} {} on {}, and this is {} {} on {}; install that Python, "
        "or make an environment from requirements.txt.".format(*wanted, *found)
    )
os.environ["OUTRIDER_OFFLINE"] = "1"
sys.path.insert(0, str(here / "site"))
given = sys.argv[1:]
for name, file in manifest["options"].items():
    given += ["--" + name.replace("_", "-"), str(here / file)]
sys.argv = ["outrider", "answer", *given]

from outrider.cli import main  # noqa: E402  (it is found only now)

main()
