"""A bundle: all that a run needs in one archive, for a machine without a network.

    run.py              answers questions; its arguments are those of `outrider answer`
    manifest.json       what is in it, and which Python and platform it runs on
    requirements.txt    the same libraries by version, for an environment made another way
    profile/            the profile with its knowledge
    models/             the model files
    site/               Outrider and the libraries it needs, as they are installed here

Libraries are copied rather than named, so nothing has to be installed. Compiled ones run on the
same version of Python and the same platform only, and the run script says so elsewhere.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
import sysconfig
import tomllib
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, Final

from packaging.requirements import Requirement

import outrider
from outrider import _native
from outrider.errors import OutriderError, UsageError
from outrider.strategies.answering.profile import Profile

RUN_SCRIPT: Final = Path(__file__).parents[2] / "data" / "bundle_run.py"

SITE: Final = "site"
_METADATA: Final = ("METADATA", "entry_points.txt")  # plug-ins are found by the latter
_UNWANTED: Final = ("__pycache__", ".pyc")
_SHOWN: Final = 3


@dataclass(frozen=True, slots=True)
class Bundle:
    """What was packed.

    Attributes:
        path: the archive.
        size: of it in bytes.
        parts: bytes in the archive of each of its topmost parts, the greatest first.
        manifest: as it stands in the archive.
    """

    path: Path
    size: int
    parts: Mapping[str, int]
    manifest: Mapping[str, Any]


def pack(
    profile: Profile,
    models: Mapping[str, Path],
    output: Path,
    *,
    max_size: int,
    plan: Path | None = None,
) -> Bundle:
    """Write a bundle; it takes its place only when it is whole and small enough.

    Args:
        profile: how questions are asked.
        models: the model files by the option that names them: `model`, and perhaps `draft_model`.
        output: the archive.
        max_size: bytes that it may have.
        plan: how to speculate, a file of `outrider tune`.

    Raises:
        UsageError: a file cannot be read or written, the profile needs one outside its directory,
            or the bundle would be too large; the archive's greatest parts are named.
        OutriderError: a library that Outrider needs is not installed here.
    """
    stored = sum(path.stat().st_size for path in models.values())
    if stored > max_size:
        raise UsageError(
            f"The model files alone have {_mb(stored)}, and --max-size allows {_mb(max_size)}; "
            "take a smaller model or a smaller copy (`outrider quantize`)."
        )
    libraries = sorted(closure("outrider"), key=lambda library: library.name.lower())
    options = {name: f"models/{path.name}" for name, path in models.items()}
    options |= {"profile": f"profile/{profile.path.name}"}
    options |= {} if plan is None else {"plan": "plan.json"}
    manifest = {
        "outrider": outrider.__version__,
        "python": f"{sys.version_info.major}.{sys.version_info.minor}",
        "implementation": sys.implementation.name,
        "platform": sysconfig.get_platform(),
        "profile": {"name": profile.name, "fingerprint": profile.fingerprint},
        "models": {path.name: _sha256(path) for path in models.values()},
        "libraries": {library.name: library.version for library in libraries},
        "options": options,
    }
    pinned = "".join(f"{library.name}=={library.version}\n" for library in libraries)
    draft = output.with_name(f".{output.name}.part")
    try:
        with zipfile.ZipFile(draft, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.write(RUN_SCRIPT, "run.py")
            _write_text(archive, "manifest.json", json.dumps(manifest, indent=2) + "\n")
            _write_text(archive, "requirements.txt", pinned)
            if plan is not None:
                archive.write(plan, "plan.json")
            for name, path in profile_files(profile):
                archive.write(path, f"profile/{name}")
            for library in libraries:
                for name, path in library_files(library):
                    archive.write(path, f"{SITE}/{name}")
            for path in models.values():
                # Weights do not become smaller, and unpacking them would take its time.
                archive.write(path, f"models/{path.name}", zipfile.ZIP_STORED)
            parts: dict[str, int] = {}
            for entry in archive.infolist():
                top = "/".join(entry.filename.split("/")[:2])
                parts[top] = parts.get(top, 0) + entry.compress_size
        size = draft.stat().st_size
        parts = dict(sorted(parts.items(), key=lambda item: -item[1]))
        if size > max_size:
            greatest = ", ".join(f"{n} {_mb(b)}" for n, b in list(parts.items())[:_SHOWN])
            raise UsageError(
                f"The bundle has {_mb(size)}, and --max-size allows {_mb(max_size)}; its greatest "
                f"parts are {greatest}."
            )
        draft.replace(output)
    except OSError as error:
        raise UsageError(f"{output} cannot be written: {error.strerror or error}.") from error
    finally:
        draft.unlink(missing_ok=True)
    return Bundle(output, size, parts, manifest)


def closure(name: str) -> Iterator[Distribution]:
    """A distribution and all that it needs here, each once.

    Raises:
        OutriderError: one of them is not installed.
    """
    waiting: list[tuple[str, frozenset[str]]] = [(name, frozenset())]
    seen: set[tuple[str, frozenset[str]]] = set()
    given: set[str] = set()
    while waiting:
        item = waiting.pop()
        wanted, extras = item
        if item in seen:
            continue
        seen.add(item)
        try:
            found = distribution(wanted)
        except PackageNotFoundError as error:
            raise OutriderError(
                f"The library {wanted} is needed and not installed here; install it with pip."
            ) from error
        key = _normal(found.name)
        if key not in given:
            given.add(key)
            yield found
        for text in found.requires or ():
            requirement = Requirement(text)
            marker = requirement.marker
            if marker is None or any(
                marker.evaluate({"extra": extra}) for extra in (extras or {""})
            ):
                waiting.append((_normal(requirement.name), frozenset(requirement.extras)))


def library_files(library: Distribution) -> Iterator[tuple[str, Path]]:
    """A library's files: where each goes below `site`, and where it is.

    Scripts, which lie elsewhere, and compiled Python are left out.

    Raises:
        OutriderError: it does not say which files it has.
    """
    if _normal(library.name) == "outrider":
        yield from _own_files(library)
        return
    if library.files is None:
        raise OutriderError(
            f"The library {library.name} has no list of its files, as pip leaves one; install it "
            "with pip."
        )
    for file in library.files:
        name = str(file)
        if name.startswith(("..", "/")) or any(part in name for part in _UNWANTED):
            continue
        path = Path(str(library.locate_file(file)))
        if path.is_file():
            yield name, path


def profile_files(profile: Profile) -> Iterator[tuple[str, Path]]:
    """A profile's file and those it names, with their names relative to it.

    Raises:
        UsageError: it names one outside its directory.
    """
    yield profile.path.name, profile.path
    values = tomllib.loads(profile.path.read_text(encoding="utf-8"))
    names = {table["knowledge"] for table in values["subjects"].values() if "knowledge" in table}
    for name in sorted(names):
        relative = Path(os.path.normpath(name))
        if relative.is_absolute() or relative.parts[0] == "..":
            raise UsageError(
                f"The profile {profile.path} names {name}, which is outside its directory; copy "
                "it there, so that the two can be packed together."
            )
        yield relative.as_posix(), profile.path.parent / relative


def _own_files(library: Distribution) -> Iterator[tuple[str, Path]]:
    """Outrider's own files, which an editable installation keeps in two places."""
    root = Path(outrider.__file__).parent
    for path in sorted(root.rglob("*")):
        inside = path.relative_to(root).as_posix()
        if path.is_file() and not any(part in inside for part in _UNWANTED):
            yield f"outrider/{inside}", path
    native = Path(_native.__file__)
    if native.parent != root:
        yield f"outrider/{native.name}", native
    for file in library.files or ():
        if file.parent.name.endswith(".dist-info") and file.name in _METADATA:
            yield str(file), Path(str(library.locate_file(file)))


def _write_text(archive: zipfile.ZipFile, name: str, text: str) -> None:
    entry = zipfile.ZipInfo(name)
    entry.external_attr = 0o644 << 16  # readable by whoever unpacks it
    archive.writestr(entry, text, zipfile.ZIP_DEFLATED)


def _normal(name: str) -> str:
    """A distribution's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _mb(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
