"""llama.cpp's side of a comparison: plain greedy decoding, driven through its C interface.

Runs in the peer's own environment; see `protocol.py` for what it is asked.
"""

from __future__ import annotations

import time
from importlib.metadata import version
from typing import Any

import llama_cpp
import numpy as np

from protocol import Question, answer, load_often, parser, serve


class Peer:
    """A model, its context, and the cheapest greedy choice: an argmax where the logits lie."""

    def __init__(
        self, path: str, *, threads: int, context: int, flash_attention: bool, ubatch: int
    ) -> None:
        model = llama_cpp.llama_model_load_from_file(
            path.encode(), llama_cpp.llama_model_default_params()
        )
        if not model:
            raise SystemExit(f"llama.cpp cannot load {path}.")
        self.model = model
        settings = llama_cpp.llama_context_default_params()
        settings.n_ctx = context
        settings.n_threads = settings.n_threads_batch = threads
        settings.flash_attn_type = int(flash_attention)
        settings.n_ubatch = ubatch
        self.n_batch = settings.n_batch
        self.context = llama_cpp.llama_init_from_model(model, settings)
        if not self.context:
            raise SystemExit("llama.cpp cannot make a context with these settings.")
        self.vocab_size = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(model))
        self.prompt: list[int] = []

    def close(self) -> None:
        """Give the memory back."""
        llama_cpp.llama_free(self.context)
        llama_cpp.llama_model_free(self.model)

    def evaluate(self, tokens: list[int]) -> int:
        """Append tokens and return the greedy choice after the last of them."""
        array = (llama_cpp.llama_token * len(tokens))(*tokens)
        if llama_cpp.llama_decode(self.context, llama_cpp.llama_batch_get_one(array, len(tokens))):
            raise SystemExit("llama.cpp could not compute a batch.")
        logits = llama_cpp.llama_get_logits_ith(self.context, -1)
        return int(np.ctypeslib.as_array(logits, (self.vocab_size,)).argmax())

    def forget(self, tokens: list[int], reuse: bool) -> int:
        """Empty the cache, but for the prompt if it may be used again; how much of it is there.

        The prompt's last token is computed again, because its logits choose the first new one.
        """
        memory = llama_cpp.llama_get_memory(self.context)
        if not (reuse and self.prompt == tokens):
            llama_cpp.llama_memory_clear(memory, True)
            return 0
        kept = len(tokens) - 1
        if not llama_cpp.llama_memory_seq_rm(memory, 0, kept, -1):
            raise SystemExit("llama.cpp cannot take the answer out of its cache.")
        return kept

    def generate(self, asked: Question) -> dict[str, Any]:
        """Greedy tokens; seconds to the first and from first to last."""
        tokens = asked.tokens
        kept = self.forget(tokens, asked.reuse)
        self.prompt = tokens
        start = time.perf_counter()
        for at in range(kept, len(tokens), self.n_batch):
            token = self.evaluate(tokens[at : at + self.n_batch])
        first = time.perf_counter()
        chosen = [token]
        while len(chosen) < asked.max_tokens and chosen[-1] not in asked.stop:
            chosen.append(self.evaluate(chosen[-1:]))
        return answer(chosen, 1, first - start, time.perf_counter() - first)


@llama_cpp.llama_log_callback
def _silent(*_: object) -> None:
    """Keep llama.cpp's log off the terminal."""


def main() -> None:
    """Load, report, then answer."""
    arguments = parser(__doc__)
    arguments.add_argument("--flash-attention", action="store_true")
    arguments.add_argument("--ubatch", type=int, required=True)
    given = arguments.parse_args()
    llama_cpp.llama_log_set(_silent, llama_cpp.ctypes.c_void_p(0))
    llama_cpp.llama_backend_init()

    def load() -> Peer:
        return Peer(
            given.model,
            threads=given.threads,
            context=given.context,
            flash_attention=given.flash_attention,
            ubatch=given.ubatch,
        )

    peer, seconds = load_often(given.loads, load, Peer.close)
    report = {
        "load": seconds,
        "versions": {"llama-cpp-python": version("llama-cpp-python")},
        "settings": {
            "threads": given.threads,
            "context": given.context,
            "n_batch": peer.n_batch,
            "n_ubatch": given.ubatch,
            "flash_attention": given.flash_attention,
            "system": llama_cpp.llama_print_system_info().decode().strip(),
        },
    }
    serve(report, peer.generate)


if __name__ == "__main__":
    main()
