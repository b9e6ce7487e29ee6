"""llama.cpp's server as a side of a comparison: speculation from n-grams, or none.

The server is a native build's, or with no --server the one that the wheel `xllamacpp` brings into
this process. Both are asked over their own protocol and keep their own time, so that what lies
between costs them nothing. Forgetting is a new server, because one keeps what it has seen.
"""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import time
import urllib.error
import urllib.request
from importlib.metadata import version
from typing import Any, Protocol

from protocol import answer, load_often, parser, serve

PATIENCE = 120.0
"""Seconds that a server may take to load a model."""


class Server(Protocol):
    """A server that runs."""

    address: str

    def close(self) -> None:
        """End it."""
        ...


class Wheel:
    """The server of the wheel; options are the native one's flags, without `--spec-`.

    Clients know its model by `name`, or else by the file's path.
    """

    def __init__(
        self,
        model: str,
        *,
        threads: int,
        context: int,
        mode: str,
        options: dict[str, int],
        name: str | None = None,
    ) -> None:
        import xllamacpp  # noqa: PLC0415 - not in the environment of the native build

        params = xllamacpp.CommonParams()
        params.model.path = model
        params.model_alias = set() if name is None else {name}
        params.n_ctx, params.n_parallel = context, 1
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
        params.cache_ram_mib = params.n_ctx_checkpoints = 0
        params.verbosity = -1
        params.offline = True
        kind = "COMMON_SPECULATIVE_TYPE_" + mode.upper().replace("-", "_")
        speculative = params.speculative
        speculative.types = [getattr(xllamacpp.common_speculative_type, kind)]
        for option, value in options.items():
            part, field = _split(option.replace("-", "_"), dir(speculative))
            setattr(getattr(speculative, part), field, value)
        self._server: Any = xllamacpp.Server(params)
        self.address: str = self._server.listening_address

    @staticmethod
    def about() -> dict[str, str]:
        """Its version, and the instructions it was built for."""
        import xllamacpp  # noqa: PLC0415 - as above

        return {"xllamacpp": version("xllamacpp"), "system": xllamacpp.get_system_info().strip()}

    def close(self) -> None:
        """End it."""
        self._server = None


def _split(option: str, parts: list[str]) -> tuple[str, str]:
    """The part of the settings that an option is of, and its name there."""
    part = next(p for p in parts if option.startswith(f"{p}_"))
    return part, option.removeprefix(f"{part}_")


class Native:
    """A native build's server, a process of its own."""

    def __init__(
        self,
        program: str,
        model: str,
        *,
        threads: int,
        context: int,
        mode: str,
        options: dict[str, int],
    ) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.address = f"http://127.0.0.1:{port}"
        command = [program, "--model", model, "--host", "127.0.0.1", "--port", str(port)]
        command += ["--threads", str(threads), "--threads-batch", str(threads)]
        command += ["--ctx-size", str(context), "--parallel", "1", "--offline", "--log-disable"]
        command += ["--cache-ram", "0", "--ctx-checkpoints", "0", "--spec-type", mode]
        command += [part for name, n in options.items() for part in (f"--spec-{name}", str(n))]
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
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

    @staticmethod
    def about(program: str) -> dict[str, str]:
        """What it says of its version."""
        done = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
        lines = (done.stdout + done.stderr).splitlines()
        return {"llama-server": next(line for line in lines if line.startswith("version"))}

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()


def ask(server: Server, tokens: list[int], max_tokens: int, stop: list[int]) -> dict[str, Any]:
    """Greedy tokens behind a prompt that is computed whole, by the server's own clock."""
    question = {
        "prompt": tokens,
        "n_predict": max_tokens,
        "samplers": ["top_k"],
        "top_k": 1,
        "ignore_eos": not stop,
        "return_tokens": True,
        "cache_prompt": False,
    }
    request = urllib.request.Request(
        f"{server.address}/completion",
        json.dumps(question).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as response:
        said = json.load(response)
    timings = said["timings"]
    if timings["prompt_n"] != len(tokens):
        raise SystemExit(
            f"{timings['prompt_n']} of {len(tokens)} tokens of a prompt were computed."
        )
    if len(said["tokens"]) != timings["predicted_n"]:
        raise SystemExit(f"{timings['predicted_n']} tokens were timed and others answered.")
    return answer(said["tokens"], 1, timings["prompt_ms"] / 1000, timings["predicted_ms"] / 1000)


def main() -> None:
    """Load, report, then answer."""
    arguments = parser(__doc__)
    arguments.add_argument("--server", help="llama-server; without it the wheel's")
    arguments.add_argument("--mode", required=True, help="as in llama-server's --spec-type")
    arguments.add_argument("--options", type=json.loads, default={}, help="flags, as JSON")
    given = arguments.parse_args()
    settings: dict[str, Any] = {
        "threads": given.threads,
        "context": given.context,
        "mode": given.mode,
        "options": given.options,
    }

    def load() -> Server:
        if given.server:
            return Native(given.server, given.model, **settings)
        return Wheel(given.model, **settings)

    server, seconds = load_often(given.loads, load, lambda loaded: loaded.close())

    def forget() -> None:
        nonlocal server
        server.close()
        server = load()

    def respond(tokens: list[int], max_tokens: int, reuse: bool, stop: list[int]) -> dict[str, Any]:
        if reuse:
            raise SystemExit("This side computes every prompt whole.")
        return ask(server, tokens, max_tokens, stop)

    report = {
        "load": seconds,
        "versions": Native.about(given.server) if given.server else Wheel.about(),
        "settings": settings,
    }
    try:
        serve(report, respond, forget)
    finally:
        server.close()


if __name__ == "__main__":
    main()
