"""A small and a large model, and how they think together, as the options say."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from outrider.cli.options import Context, SpeculationOptions, Threads
from outrider.cli.output import show_progress, size
from outrider.errors import CapacityError, UsageError

if TYPE_CHECKING:
    from outrider.generators import AnyGenerator
    from outrider.models.download import Listener
    from outrider.strategies.thinking import ThinkingConfig

Side = Literal["small", "large"]

DEFAULT_CONFIG = "qwen3_1.7b_32b.yml"


@dataclass(frozen=True, slots=True, kw_only=True)
class PairOptions:
    """Which two models, and how they think together."""

    config: Annotated[
        str,
        typer.Option(
            metavar="FILE",
            help="How they think together: a YAML file, such as those published with speculative "
            "thinking, or the name of one that comes with Outrider.",
        ),
    ] = DEFAULT_CONFIG
    small: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="The small model: a name of the catalogue, hf:owner/repo/file.gguf, a GGUF file, "
            "or a server's address, URL or URL#NAME. [default: the file's]",
        ),
    ] = None
    large: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="The large model, likewise. [default: the file's]"),
    ] = None
    endpoint: Annotated[
        list[str] | None,
        typer.Option(
            metavar="URL",
            help="A server that has the models by their names; may be given several times.",
        ),
    ] = None
    policy: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="What decides who writes: keywords, or grades that the large model gives. "
            "[default: the file's, else keywords]",
        ),
    ] = None
    small_template: Annotated[
        str | None,
        typer.Option(
            metavar="TEMPLATE",
            help="The small model's chat template: chatml, plain, a file, or Jinja. "
            "[default: its own]",
        ),
    ] = None
    large_template: Annotated[
        str | None,
        typer.Option(metavar="TEMPLATE", help="The large model's, likewise."),
    ] = None
    time_out: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            help="End an answer where it is after so long. [default: the file's, else never]",
        ),
    ] = None
    threads: Threads = None
    context: Context = None

    def thinking(self) -> ThinkingConfig:
        """The configuration, with what was given in place of what the file says.

        Raises:
            UsageError: the file or a value is none.
        """
        from outrider.strategies.thinking import ThinkingConfig  # noqa: PLC0415
        from outrider.strategies.thinking.config import find_config  # noqa: PLC0415

        changes: dict[str, Any] = {
            "policy": self.policy,
            "time_out": self.time_out,
            "small_template": _template(self.small_template),
            "large_template": _template(self.large_template),
        }
        config = ThinkingConfig.load(find_config(self.config))
        return replace(config, **{k: v for k, v in changes.items() if v is not None})


def locate(given: str | None, name: str | None, side: Side, endpoints: Sequence[str]) -> str:
    """What a model is opened by: what was given, else a server that has it, else its name.

    Args:
        given: on the command line.
        name: in the configuration.
        side: which of the two it is.
        endpoints: servers that may have it.

    Raises:
        UsageError: it stands for nothing.
        EndpointError: a server cannot be reached.
    """
    from outrider.generators import resolve  # noqa: PLC0415
    from outrider.remote import OpenAIGenerator  # noqa: PLC0415

    wanted = given if given is not None else name
    if wanted is None:
        raise UsageError(f"No {side} model is named; give --{side} MODEL.")
    try:
        known = resolve(wanted)
    except UsageError:
        known = None
    if known is not None and given is not None:
        return known
    for endpoint in endpoints:
        address = endpoint if "#" in endpoint else f"{endpoint}#{wanted}"
        if address.endswith(f"#{wanted}") and _serves(OpenAIGenerator(address)):
            return address
    if known is not None:
        return known
    asked = f"; no --endpoint has it ({', '.join(endpoints)})" if endpoints else ""
    raise UsageError(
        f"The {side} model {wanted!r} is not known here{asked}. Give --{side} with a name of the "
        "catalogue (`outrider list`), hf:owner/repo/file.gguf, a GGUF file or a server's address, "
        "or --endpoint URL of a server that has it."
    )


@contextmanager
def open_pair(
    options: PairOptions,
    config: ThinkingConfig,
    sides: Sequence[Side],
    speculation: SpeculationOptions,
    *,
    accept_terms: bool,
) -> Iterator[tuple[Mapping[Side, str], Mapping[Side, AnyGenerator]]]:
    """What each side is called, and the models of the sides that are needed.

    A file that stands on both sides is loaded once. Tokens are drafted in the same way in both.

    Raises:
        UsageError: a model stands for nothing, or tokens are to be drafted in no model here.
    """
    from outrider.generators import Generators, is_address  # noqa: PLC0415

    names: dict[Side, str] = {}
    wishes: tuple[tuple[Side, str | None, str | None], ...] = (
        ("small", options.small, config.small),
        ("large", options.large, config.large),
    )
    for side, given, name in wishes:
        named = given or name or "none"
        names[side] = locate(given, name, side, options.endpoint or ()) if side in sides else named
    speculation.check(here=not all(is_address(names[side]) for side in sides))
    with ExitStack() as stack:
        with show_progress() as listener:
            _check_memory({names[side] for side in sides}, accept_terms, listener)
            generators = stack.enter_context(
                Generators(
                    threads=options.threads,
                    context=options.context,
                    accept_terms=accept_terms,
                    progress=listener,
                    **speculation.settings(),
                )
            )
            opened: dict[Side, AnyGenerator] = {
                side: generators.open(names[side]) for side in sides
            }
        yield names, opened


def _check_memory(specs: Collection[str], accept_terms: bool, listener: Listener) -> None:
    """Raise where the models' files do not fit the free memory together."""
    from outrider import models  # noqa: PLC0415
    from outrider.engines.machine import memory_bytes  # noqa: PLC0415
    from outrider.generators import is_address  # noqa: PLC0415

    paths = {
        models.ensure(spec, accept_terms=accept_terms, progress=listener)
        for spec in specs
        if not is_address(spec)
    }
    needed, free = sum(Path(path).stat().st_size for path in paths), memory_bytes()
    if needed > free:
        raise CapacityError(
            f"The models need {size(needed)} and {size(free)} of memory are free; use smaller "
            "ones, or a server for one of them. The benchmark measures one model at a time with "
            "--test-mode large and --test-mode small."
        )


def _serves(server: Any) -> bool:
    """Whether a server has the model that its address names."""
    with server:
        try:
            _ = server.served
        except UsageError:
            return False
    return True


def _template(text: str | None) -> str | None:
    """A chat template: a file's content, or what was written."""
    path = Path(text) if text is not None and len(text) < 256 else None
    return path.read_text(encoding="utf-8") if path is not None and path.is_file() else text
