"""llama.cpp's server as the wheel `xllamacpp` brings it into a process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import xllamacpp


class Wheel:
    """The server of the wheel; options are the native one's flags.

    Clients know its model by `name`, or else by the file's path.
    """

    def __init__(
        self,
        model: str,
        *,
        threads: int,
        context: int,
        mode: str,
        options: Mapping[str, Any],
        name: str | None = None,
    ) -> None:
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
            part, field = _split(option.removeprefix("spec-").replace("-", "_"), dir(speculative))
            setattr(getattr(speculative, part), field, value)
        self._server: Any = xllamacpp.Server(params)
        self.address: str = self._server.listening_address

    def close(self) -> None:
        """End it."""
        self._server = None


def _split(option: str, parts: list[str]) -> tuple[str, str]:
    """The part of the settings that an option is of, and its name there."""
    part = next(p for p in parts if option.startswith(f"{p}_"))
    return part, option.removeprefix(f"{part}_")
