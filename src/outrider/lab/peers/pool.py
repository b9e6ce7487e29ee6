"""The sides that contestants need: each started when it is asked first, and kept, stopped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from outrider.errors import OutriderError
from outrider.lab.peers import environments
from outrider.lab.peers.contestants import DRAFT, Contestant, start
from outrider.lab.peers.copies import TWIN, copy_of
from outrider.lab.peers.sides import Side
from outrider.models.gguf import GgufFile


class Pool:
    """Sides on one model file.

    Args:
        model: the file.
        draft: the file of a model that drafts; None takes the model's own Q4_0 copy.
        threads: of every side.
        context: the longest sequence, in tokens.
    """

    def __init__(self, model: Path, *, draft: Path | None, threads: int, context: int) -> None:
        self._model, self._draft = model, draft
        self._threads, self._context = threads, context
        self._copies = environments.folder() / "copies" / GgufFile(model).fingerprint()
        self._sides: dict[tuple[str, ...], Side] = {}
        self._failed: dict[tuple[str, ...], OutriderError] = {}

    def report(self, contestant: Contestant) -> dict[str, Any]:
        """What its side says of itself: versions, settings, the seconds of loading.

        Raises:
            OutriderError: it cannot be started.
        """
        return self._side(contestant).report

    def generate(
        self, contestant: Contestant, tokens: Sequence[int], max_tokens: int, stop: Sequence[int]
    ) -> dict[str, Any]:
        """The answer of a side that has learnt nothing before; see `Side.generate`.

        It forgets as soon as it has answered, so that it holds no more than it must until then.

        Raises:
            OutriderError: the side cannot be started, or ended; the next question starts it again.
        """
        side = self._side(contestant)
        try:
            said = side.generate(tokens, max_tokens, stop=stop, options=contestant.options)
            side.forget()
        except OutriderError:
            self._sides = {key: kept for key, kept in self._sides.items() if kept is not side}
            side.close()
            raise
        return said

    def close(self) -> None:
        """End all sides."""
        with ExitStack() as stack:
            for side in self._sides.values():
                stack.callback(side.close)
        self._sides.clear()

    def _side(self, contestant: Contestant) -> Side:
        """The side of a contestant; what could not be made or started once is not tried again."""
        made = (contestant.peer, *contestant.files)
        key = (*made, *contestant.arguments)
        if key not in self._sides:
            with self._once(made):
                files = {name: self._file(name) for name in contestant.files}
                how = start(contestant, files, threads=self._threads, context=self._context)
            with self._once(key):
                self._sides[key] = Side(contestant.name, how.command, variables=how.variables)
        return self._sides[key]

    @contextmanager
    def _once(self, key: tuple[str, ...]) -> Iterator[None]:
        """What fails inside is not done the next time: its error is raised again."""
        if key in self._failed:
            raise self._failed[key]
        try:
            yield
        except OutriderError as error:
            self._failed[key] = error
            raise

    def _file(self, name: str) -> Path:
        """A file by what tables call it."""
        if name == DRAFT:
            return self._draft or copy_of(self._model, TWIN, self._copies)
        return copy_of(self._model, name, self._copies)
