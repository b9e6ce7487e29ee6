"""Generators by what a user writes: a catalogue name, a hub file, a GGUF file, or a server."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import Any, Self

from outrider import models
from outrider.errors import UsageError
from outrider.llm import LLM
from outrider.models import catalogue
from outrider.remote import Address, OpenAIGenerator

AnyGenerator = LLM | OpenAIGenerator


def is_address(spec: str) -> bool:
    """Whether it names a server."""
    return spec.startswith(("http://", "https://"))


def resolve(spec: str | None, endpoint: str | None = None) -> str:
    """What a model's name stands for: the address of a server, or what `LLM` takes.

    In this order: the endpoint, a catalogue name, `hf:` with a GGUF file of the hub, a GGUF file,
    and the address of a server in the model's place.

    Args:
        spec: what the user calls the model; beside an endpoint without `#NAME`, the name that its
            server knows it by.
        endpoint: the address of a server, `URL` or `URL#NAME`.

    Raises:
        UsageError: it stands for nothing.
    """
    if endpoint is not None:
        return endpoint if spec is None or "#" in endpoint else f"{endpoint}#{spec}"
    if spec is None:
        return models.DEFAULT_MODEL
    if is_address(spec) or spec in catalogue.ENTRIES:
        return spec
    if spec.startswith("hf:"):
        return catalogue.resolve(spec).name
    if Path(spec).is_file():
        return spec
    known = ", ".join(catalogue.ENTRIES)
    raise UsageError(
        f"{spec!r} is no model that is known here; name one of the catalogue ({known}), a file "
        "of the hub as hf:owner/repo/file.gguf, a GGUF file, or give the address of a server that "
        "has it as the endpoint, such as http://127.0.0.1:8000/v1."
    )


def open_generator(
    spec: str | None,
    *,
    endpoint: str | None = None,
    remote: Mapping[str, Any] | None = None,
    **local: Any,
) -> AnyGenerator:
    """What answers under a name; close it, or use it in a `with`.

    Args:
        spec: as in `resolve`.
        endpoint: as in `resolve`.
        remote: arguments of `OpenAIGenerator`, should it be a server.
        local: arguments of `LLM`, should it be a file.

    Raises:
        UsageError: the name stands for nothing, or an argument.
        EndpointError: the server cannot be reached, or has no such model.
        OutriderError: as in `LLM`.
    """
    target = resolve(spec, endpoint)
    if not is_address(target) and endpoint is None:
        return LLM(target, **local)
    return open_server(target, **(remote or {}))


def open_server(address: str, **arguments: Any) -> OpenAIGenerator:
    """A server's model; what is wrong with it shows now, not at the first question.

    Args:
        address: `URL` or `URL#NAME`.
        arguments: of `OpenAIGenerator`.

    Raises:
        UsageError: the address is none, or an argument.
        EndpointError: the server cannot be reached, or has no such model.
    """
    generator = OpenAIGenerator(address, **arguments)
    try:
        _ = generator.served
    except BaseException:
        generator.close()
        raise
    return generator


class Generators:
    """Generators of one run, opened by name, closed together; a file is loaded once.

    Names of one file, and one server's model, give the same generator. The methods are safe from
    any thread.

    Args:
        remote: arguments of `OpenAIGenerator`.
        local: arguments of `LLM`.
    """

    def __init__(self, *, remote: Mapping[str, Any] | None = None, **local: Any) -> None:
        self._remote = remote
        self._local = local
        self._opened: dict[str, AnyGenerator] = {}
        self._lock = Lock()

    def open(self, spec: str | None = None, *, endpoint: str | None = None) -> AnyGenerator:
        """As `open_generator`; the same one where it is open already.

        Raises:
            OutriderError: as in `open_generator`.
        """
        target = resolve(spec, endpoint)
        with self._lock:
            key = self._identity(target, remote=endpoint is not None)
            if key not in self._opened:
                self._opened[key] = open_generator(
                    spec, endpoint=endpoint, remote=self._remote, **self._local
                )
            return self._opened[key]

    def close(self) -> None:
        """Close all."""
        with self._lock:
            while self._opened:
                _, generator = self._opened.popitem()
                generator.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _identity(self, target: str, *, remote: bool) -> str:
        """Tells models apart: an address, or the file itself."""
        if remote or is_address(target):
            address = Address.parse(target)
            return f"{address.base}#{address.model or ''}"
        if target in catalogue.ENTRIES or target.startswith("hf:"):
            return str(models.location(catalogue.resolve(target)).resolve())
        return str(Path(target).resolve())
