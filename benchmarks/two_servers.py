"""llama.cpp's server in several modes of its speculation, held against the first of them.

    python benchmarks/two_servers.py none ngram-simple -- --json

The servers are those of the wheel `xllamacpp`; what stands behind `--` goes to
`outrider bench speed`. The record is `records/bench_servers.json`.
"""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack

from llamacpp_wheel import Wheel
from outrider import models
from outrider.lab.peers.contestants import MODES

THREADS = 2
CONTEXT = 2048


def main() -> int:
    """Start them, measure, end them."""
    arguments = sys.argv[1:]
    split = arguments.index("--") if "--" in arguments else len(arguments)
    model = str(models.ensure(models.DEFAULT_MODEL))
    with ExitStack() as stack:
        command = [sys.executable, "-m", "outrider", "bench", "speed"]
        for mode in arguments[:split]:
            server = Wheel(
                model,
                threads=THREADS,
                context=CONTEXT,
                mode=mode,
                options=MODES.get(mode, {}),
                name=models.DEFAULT_MODEL,
            )
            stack.callback(server.close)
            command += ["--endpoint", server.address]
        return subprocess.run([*command, *arguments[split + 1 :]], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
