"""llama.cpp's server as a side of a comparison: plain, with a draft model, or from n-grams.

It is asked over its own protocol and keeps its own time, so that what lies between costs it
nothing. Forgetting is a new server, because one keeps what it has seen; it is started when it is
asked again, so a side that waits holds no memory.
"""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from protocol import Question, answer, end_with_parent, load_often, parser, serve

PATIENCE = 120.0
"""Seconds that a server may take to load a model."""


class Server:
    """A server that runs, a process of its own."""

    def __init__(
        self,
        program: str,
        model: str,
        *,
        threads: int,
        context: int,
        mode: str,
        draft: str | None,
        options: dict[str, Any],
    ) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.address = f"http://127.0.0.1:{port}"
        command = [program, "--model", model, "--host", "127.0.0.1", "--port", str(port)]
        command += ["--threads", str(threads), "--threads-batch", str(threads)]
        command += ["--ctx-size", str(context), "--parallel", "1", "--offline", "--log-disable"]
        command += ["--cache-ram", "0", "--ctx-checkpoints", "0", "--spec-type", mode]
        if draft:
            command += ["--spec-draft-model", draft, "--spec-draft-threads", str(threads)]
            command += ["--spec-draft-threads-batch", str(threads)]
        command += [part for name, n in options.items() for part in (f"--{name}", str(n))]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            preexec_fn=end_with_parent,  # noqa: PLW1509 - this process has one thread
        )
        self._await(time.monotonic() + PATIENCE)

    def _await(self, deadline: float) -> None:
        """Return when it has loaded its model."""
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise SystemExit(f"llama-server ended with status {self._process.returncode}.")
            refused = contextlib.suppress(urllib.error.URLError, ConnectionError)
            with refused, urllib.request.urlopen(f"{self.address}/health"):
                return
            time.sleep(0.005)
        self.close()
        raise SystemExit(f"llama-server did not load its model within {PATIENCE:.0f} seconds.")

    def close(self) -> None:
        """End it."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def ask(self, asked: Question) -> dict[str, Any]:
        """Greedy tokens behind a prompt that is computed whole, by the server's own clock."""
        question = {
            "prompt": asked.tokens,
            "n_predict": asked.max_tokens,
            "samplers": ["top_k"],
            "top_k": 1,
            "ignore_eos": not asked.stop,
            "return_tokens": True,
            "cache_prompt": False,
        }
        request = urllib.request.Request(
            f"{self.address}/completion",
            json.dumps(question).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request) as response:
            said = json.load(response)
        timings, computed = said["timings"], said["timings"]["prompt_n"]
        if computed != len(asked.tokens):
            raise SystemExit(f"{computed} of {len(asked.tokens)} tokens of a prompt were computed.")
        if len(said["tokens"]) != timings["predicted_n"]:
            raise SystemExit(
                f"{timings['predicted_n']} tokens were timed and {len(said['tokens'])} answered."
            )
        prefill, decode = timings["prompt_ms"] / 1000, timings["predicted_ms"] / 1000
        return answer(said["tokens"], 1, prefill, decode)


def about(program: str) -> dict[str, str]:
    """What it says of its version."""
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    lines = (done.stdout + done.stderr).splitlines()
    return {"llama-server": next(line for line in lines if line.startswith("version"))}


def main() -> None:
    """Load, report, then answer."""
    arguments = parser(__doc__)
    arguments.add_argument("--server", required=True, help="llama-server")
    arguments.add_argument("--mode", required=True, help="as in llama-server's --spec-type")
    arguments.add_argument("--draft", help="a model that drafts")
    arguments.add_argument("--options", type=json.loads, default={}, help="flags, as JSON")
    given = arguments.parse_args()
    settings: dict[str, Any] = {
        "threads": given.threads,
        "context": given.context,
        "mode": given.mode,
        "draft": given.draft,
        "options": given.options,
    }

    def load() -> Server:
        return Server(given.server, given.model, **settings)

    loaded, seconds = load_often(given.loads, load, Server.close)
    server: Server | None = loaded

    def forget() -> None:
        nonlocal server
        if server is not None:
            server.close()
            server = None

    def respond(asked: Question) -> dict[str, Any]:
        nonlocal server
        asked.whole()
        server = server or load()
        return server.ask(asked)

    draft = Path(given.draft).name if given.draft else None
    report = {
        "load": seconds,
        "versions": about(given.server),
        "settings": {**settings, "draft": draft},
    }
    try:
        serve(report, respond, forget)
    finally:
        forget()


if __name__ == "__main__":
    main()
