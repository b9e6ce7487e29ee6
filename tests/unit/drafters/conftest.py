from __future__ import annotations

from pathlib import Path

import pytest
from gguf import GGMLQuantizationType as Type

import synthetic
from synthetic import Shape


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models by name: a target, small ones beside it, and some that do not go with it."""
    directory = tmp_path_factory.mktemp("drafters")
    # As many tokens as there are bytes, pairs and control tokens: none is unused.
    target = Shape(layers=3, vocab=403, context=256)
    shapes = {
        "target": target,
        # Its first layer is the target's, so that they agree now and then.
        "draft": Shape(layers=1, vocab=403, context=256),
        "short": Shape(layers=3, vocab=403, context=40),
        "eight_bits": Shape(layers=3, vocab=403, context=256, type=Type.Q8_0),
        "sixteen_bits": Shape(layers=3, vocab=403, context=256, type=Type.F16),
        "padded": Shape(layers=3, vocab=432, context=256),
        "larger": Shape(layers=1, vocab=405, context=256),
    }
    for name, shape in shapes.items():
        keys = {}
        if name == "larger":
            tokens = synthetic.tokenizer_metadata(403)["tokenizer.ggml.tokens"]
            keys = {
                "tokenizer.ggml.tokens": [*tokens, "one", "two"],
                "tokenizer.ggml.token_type": [1] * 405,
            }
        synthetic.write(directory / f"{name}.gguf", shape, keys=keys)
    tokens = synthetic.tokenizer_metadata(403)["tokenizer.ggml.tokens"]
    tokens[300], tokens[301] = tokens[301], tokens[300]
    synthetic.write(
        directory / "renamed.gguf",
        Shape(layers=1, vocab=403, context=256),
        keys={"tokenizer.ggml.tokens": tokens},
    )
    # The same bytes, but fewer pairs: the target's tokens are not its tokens.
    synthetic.write(directory / "other.gguf", Shape(layers=3, vocab=300, context=512))
    return directory
