"""What is compared with llama.cpp, how all are asked, and what ours has to reach."""

from __future__ import annotations

from dataclasses import dataclass

from outrider.lab.peers.copies import SAME_FILE, TWIN
from outrider.lab.peers.environments import AVX2, NATIVE, Build
from outrider.models import DEFAULT_MODEL


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """How all sides are asked.

    Attributes:
        name: of the scenario.
        prompt_tokens: the length of the one prompt; None asks the prompts of the prompt file.
        context: the longest sequence, in tokens.
        max_tokens: of each answer.
        repeats: how often each prompt is answered.
        rates: what is compared of "decode" and "prefill".
        ubatches: rows that llama.cpp computes at once, each a setting of its own.
        reuse: the prompt is computed once, and each repeat decodes behind it again.
        loads: how often the model is loaded, for the time it takes.
    """

    name: str
    prompt_tokens: int | None = None
    context: int
    max_tokens: int
    repeats: int
    rates: tuple[str, ...]
    ubatches: tuple[int, ...] = (512,)
    reuse: bool = False
    loads: int = 1


MIX = Scenario(
    name="mix", context=2048, max_tokens=128, repeats=3, rates=("decode", "prefill"), loads=3
)
PREFILL = Scenario(
    name="prefill512",
    prompt_tokens=512,
    context=1024,
    max_tokens=2,
    repeats=9,
    rates=("prefill",),
    ubatches=(128, 256, 512),
)
CONTEXT = Scenario(
    name="context4096",
    prompt_tokens=4096,
    context=4352,
    max_tokens=64,
    repeats=9,
    rates=("decode",),
    reuse=True,
)


@dataclass(frozen=True, slots=True)
class Target:
    """Ours is to be `at_least` so many times as fast as llama.cpp's fastest setting on `file`.

    It computes the files that targets name: ours, or a copy of it in Q4_0, its fastest type.
    """

    rate: str
    file: str
    at_least: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One run of all sides, and one record.

    Attributes:
        name: of the comparison.
        scenario: how all are asked.
        targets: what ours has to reach.
        model: a name of the catalogue.
        build: of llama.cpp.
    """

    name: str
    scenario: Scenario
    targets: tuple[Target, ...]
    model: str = DEFAULT_MODEL
    build: Build = NATIVE

    @property
    def files(self) -> tuple[str, ...]:
        """The copies of the file that it needs."""
        return tuple(dict.fromkeys(t.file for t in self.targets if t.file != SAME_FILE))

    @property
    def record_name(self) -> str:
        """What its record is called by."""
        return f"llamacpp_{self.name}"


COMPARISONS = {
    comparison.name: comparison
    for comparison in (
        Comparison(
            name="mix",
            scenario=MIX,
            targets=(Target("decode", SAME_FILE, 2.0), Target("decode", TWIN, 2.0)),
        ),
        Comparison(
            name="prefill512",
            scenario=PREFILL,
            targets=(Target("prefill", SAME_FILE, 4.0), Target("prefill", TWIN, 1.5)),
        ),
        Comparison(
            name="context4096", scenario=CONTEXT, targets=(Target("decode", SAME_FILE, 1.5),)
        ),
        Comparison(
            name="gemma3-270m",
            model="gemma3-270m",
            scenario=MIX,
            targets=(Target("decode", SAME_FILE, 1.5),),
        ),
        Comparison(
            name="avx2-mix",
            scenario=MIX,
            build=AVX2,
            targets=(Target("decode", SAME_FILE, 1.0),),
        ),
        Comparison(
            name="avx2-prefill512",
            scenario=PREFILL,
            build=AVX2,
            targets=(Target("prefill", SAME_FILE, 1.0),),
        ),
    )
}
