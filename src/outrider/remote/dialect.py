"""What servers offer beyond the protocol they share, and how they are told apart.

The protocol has temperature, top_p, seed, stop, penalties, a bias, log-probabilities. What a server
does not know it mostly ignores, so a key is only sent where its server is known to honour it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from outrider.errors import unknown_name
from outrider.remote.rendering import Rendering


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """What one kind of server offers.

    Attributes:
        name: what people call the server.
        owner: what it says as `owned_by` of its models; empty for a server that is not known.
        top_k: the key; None where there is none, as in the next five.
        min_p: the key.
        repetition_penalty: the key.
        ignore_eos: the key.
        samplers: the key that says in which order samplers are applied.
        no_top_k: the value that keeps all tokens.
        token_prompts: whether a prompt may be token ids; None where that is not known.
        continues: what makes it continue the assistant's last message; None where nothing does.
        no_limit: what lets a completion of a text go on as far as the context reaches; None where
            nothing does.
        ids: what makes it give the ids of tokens.
        logprob_ids: the same for log-probabilities.
        penalty_window: the key for how many tokens penalties look back, where that has to be said.
        chat: what every conversation is to hold so that the answer is what was asked for.
        rendering: how it is asked for a conversation as the text of a prompt; None where it cannot
            be.
        one_model: whether it answers with the model it has, whatever name is given.
    """

    name: str
    owner: str = ""
    top_k: str | None = None
    min_p: str | None = None
    repetition_penalty: str | None = None
    ignore_eos: str | None = None
    samplers: str | None = None
    no_top_k: int = 0
    token_prompts: bool | None = None
    continues: Mapping[str, Any] | None = None
    no_limit: Mapping[str, Any] | None = None
    ids: Mapping[str, Any] = field(default_factory=dict)
    logprob_ids: Mapping[str, Any] = field(default_factory=dict)
    penalty_window: str | None = None
    chat: Mapping[str, Any] = field(default_factory=dict)
    rendering: Rendering | None = None
    one_model: bool = False


_FLAGS: Final = {"continue_final_message": True, "add_generation_prompt": False}

UNKNOWN: Final = Dialect(name="an unknown server")

DIALECTS: Final = (
    Dialect(
        name="llama.cpp",
        owner="llamacpp",
        top_k="top_k",
        min_p="min_p",
        repetition_penalty="repeat_penalty",
        ignore_eos="ignore_eos",
        samplers="samplers",
        token_prompts=True,
        continues={},
        no_limit={"max_tokens": -1},
        penalty_window="repeat_last_n",
        chat={"reasoning_format": "none"},
        rendering="template",
        one_model=True,
    ),
    Dialect(
        name="llama-cpp-python",
        owner="me",
        top_k="top_k",
        min_p="min_p",
        repetition_penalty="repeat_penalty",
        token_prompts=False,
        no_limit={"max_tokens": None},
        one_model=True,
    ),
    Dialect(
        name="vLLM",
        owner="vllm",
        top_k="top_k",
        min_p="min_p",
        repetition_penalty="repetition_penalty",
        ignore_eos="ignore_eos",
        no_top_k=-1,
        token_prompts=True,
        continues=_FLAGS,
        no_limit={"max_tokens": None},
        rendering="tokens",
        ids={"return_token_ids": True},
        logprob_ids={"return_tokens_as_token_ids": True},
    ),
    Dialect(
        name="SGLang",
        owner="sglang",
        top_k="top_k",
        min_p="min_p",
        repetition_penalty="repetition_penalty",
        ignore_eos="ignore_eos",
        no_top_k=-1,
        token_prompts=True,
        continues=_FLAGS,
    ),
)


def named(name: str) -> Dialect:
    """The dialect of a server that people call so.

    Raises:
        UsageError: none is.
    """
    known = {dialect.name.lower(): dialect for dialect in DIALECTS}
    if name.lower() not in known:
        raise unknown_name("server", name, [dialect.name for dialect in DIALECTS])
    return known[name.lower()]


def of_owner(owner: str) -> Dialect:
    """The dialect of a server whose models are owned by `owner`."""
    return next((dialect for dialect in DIALECTS if dialect.owner == owner), UNKNOWN)
