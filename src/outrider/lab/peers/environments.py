"""The environments of other engines: each pinned, made once, and kept beside the models."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from filelock import FileLock

from outrider.engines.machine import instruction_sets
from outrider.errors import OutriderError
from outrider.models.store import cache_directory

REQUIREMENTS: Final = Path(__file__).resolve().parent / "requirements"
VLLM_TORCH: Final = "torch==2.13.0+cpu"
"""The wheel that vLLM's build for processors is made for."""

TORCH_INDEX: Final = "https://download.pytorch.org/whl/cpu"
"""Where PyTorch's project serves its wheels for processors, which the package index has not."""

FINISHED: Final = "finished"
"""A file that holds what an environment was made from, written when it is whole."""


@dataclass(frozen=True, slots=True)
class Build:
    """How llama.cpp is built.

    Attributes:
        name: of the build.
        cmake: the arguments that make it so.
        kernel: the kernel of ours that is fair beside it; None leaves the best.
    """

    name: str
    cmake: str
    kernel: str | None = None


TILES: Final = "-fno-dse -fno-tree-dse"
"""How its kernels for tiles are compiled: GCC takes it that loading a tile's configuration reads
eight of its bytes, and leaves out the stores of the rest, so that the first tile ends the process.
"""

NATIVE: Final = Build("native", "-DGGML_NATIVE=ON")
AVX2: Final = Build(
    "avx2",
    "-DGGML_NATIVE=OFF -DGGML_AVX=ON -DGGML_AVX2=ON -DGGML_FMA=ON -DGGML_F16C=ON -DGGML_BMI2=ON "
    "-DGGML_AVX512=OFF -DGGML_AVX_VNNI=OFF",
    kernel="avx2",
)
SERVER_CMAKE: Final = (
    "-G",
    "Ninja",
    "-DCMAKE_BUILD_TYPE=Release",
    "-DBUILD_SHARED_LIBS=OFF",
    "-DLLAMA_OPENSSL=OFF",
    "-DLLAMA_BUILD_TESTS=OFF",
    "-DLLAMA_BUILD_EXAMPLES=OFF",
    "-DLLAMA_BUILD_UI=OFF",
)


def folder() -> Path:
    """Where environments are kept."""
    return cache_directory() / "peers"


def llamacpp(build: Build) -> Path:
    """The interpreter of an environment with llama-cpp-python, built from source.

    Raises:
        OutriderError: it cannot be made.
    """
    return python(
        "llamacpp",
        f"llama.cpp ({build.name})",
        name=f"llamacpp-{build.name}",
        arguments=("--no-binary", "llama-cpp-python"),
        variables={"CMAKE_ARGS": build.cmake, **_compiler(build)},
    )


def openvino() -> Path:
    """The interpreter of an environment with OpenVINO GenAI.

    Raises:
        OutriderError: it cannot be made.
    """
    return python("openvino", "OpenVINO GenAI")


def transformers() -> Path:
    """The interpreter of an environment with transformers and PyTorch.

    Raises:
        OutriderError: it cannot be made.
    """
    return python("transformers", "transformers and PyTorch")


def vllm() -> Path:
    """The interpreter of an environment with vLLM's build for processors.

    Raises:
        OutriderError: it cannot be made.
    """
    # It asks for torchvision, whose wheel is for GPUs and breaks every import of transformers
    # beside PyTorch's CPU wheel; text needs neither that nor sound.
    return python(
        "vllm",
        "vLLM's CPU build",
        without=("torchvision", "torchaudio", "torchcodec"),
        lacking=("--index-url", TORCH_INDEX, VLLM_TORCH),
    )


def python(
    requirements: str,
    what: str,
    *,
    name: str | None = None,
    arguments: Sequence[str] = (),
    without: Sequence[str] = (),
    lacking: Sequence[str] = (),
    variables: Mapping[str, str] | None = None,
) -> Path:
    """The interpreter of an environment, which is made if there is none with these requirements.

    Args:
        requirements: the file of `requirements` that is installed, without its ending.
        what: it is made for, as its user is told.
        name: of the environment; None takes that of the requirements.
        arguments: further ones of pip.
        without: packages that are removed again.
        lacking: pip's arguments that bring, without what it depends on, a package that the usual
            index may lack; taken only where the requirements cannot be installed otherwise.
        variables: further environment variables of the installation.

    Raises:
        OutriderError: it cannot be made.
    """
    file = REQUIREMENTS / f"{requirements}.txt"
    environment = folder() / (name or requirements)
    interpreter = environment / "bin" / "python"
    made_from = "\n".join(
        [file.read_text(encoding="utf-8"), *arguments, *without, *_lines(variables)]
    )

    def make() -> None:
        run(f"an environment for {what}", sys.executable, "-m", "venv", environment)
        pip: tuple[str | Path, ...] = (interpreter, "-m", "pip")
        quietly = ("install", "--quiet", "--no-cache-dir")
        install = (*pip, *quietly, *arguments, "--requirement", str(file))
        try:
            run(what, *install, variables=variables)
        except OutriderError as error:
            if not lacking:
                raise
            try:
                run(what, *pip, *quietly, "--no-deps", *lacking)
            except OutriderError:
                raise error from None
            run(what, *install, variables=variables)
        if without:
            run(what, *pip, "uninstall", "--quiet", "--yes", *without)

    _once(environment, what, made_from, make)
    return interpreter


def llama_server(build: Build = NATIVE) -> Path:
    """llama.cpp's server, built from the source that llama-cpp-python brings.

    A build of one's own, because wheels compute with the instructions that every processor has.

    Raises:
        OutriderError: it cannot be built.
    """
    target = folder() / f"llama-server-{build.name}"
    tools = target / "tools" / "bin"
    what = f"llama.cpp's server ({build.name})"
    pinned = (REQUIREMENTS / "llamacpp.txt").read_text(encoding="utf-8")
    packages = [line for line in pinned.splitlines() if line and not line.startswith("#")]
    source_package = next(line for line in packages if line.startswith("llama-cpp-python=="))

    def make() -> None:
        run(what, sys.executable, "-m", "venv", tools.parent)
        pip = (tools / "python", "-m", "pip")
        needed = [line for line in packages if line.startswith(("cmake", "ninja"))]
        run(what, *pip, "install", "--quiet", "--no-cache-dir", *needed)
        download = ("download", "--quiet", "--no-deps", "--no-cache-dir")
        from_source = ("--no-binary", "llama-cpp-python", "--dest", target, source_package)
        run(what, *pip, *download, *from_source)
        source, built = _vendored(target), target / "build"
        search = {"PATH": f"{tools}{os.pathsep}{os.environ.get('PATH', '')}", **_compiler(build)}
        arguments = [*SERVER_CMAKE, *build.cmake.split()]
        run(what, tools / "cmake", "-S", source, "-B", built, *arguments, variables=search)
        compile_ = ("--build", built, "--target", "llama-server", "--parallel")
        run(what, tools / "cmake", *compile_, str(os.cpu_count() or 1), variables=search)

    made_from = [pinned, *SERVER_CMAKE, build.cmake, *_lines(_compiler(build))]
    _once(target, what, "\n".join(made_from), make)
    return target / "build" / "bin" / "llama-server"


def _compiler(build: Build) -> dict[str, str]:
    """What the compiler is told beside what CMake tells it."""
    if build != NATIVE or "amx_tile" not in instruction_sets():
        return {}
    return {"CXXFLAGS": f"{os.environ.get('CXXFLAGS', '')} {TILES}".strip()}


def _vendored(target: Path) -> Path:
    """The source of llama.cpp, unpacked from that of llama-cpp-python in a folder."""
    (archive,) = target.glob("*.tar.gz")
    with tarfile.open(archive) as file:
        file.extractall(target, filter="data")
    archive.unlink()
    (source,) = target.glob("*/vendor/llama.cpp")
    return source


def _once(target: Path, what: str, made_from: str, make: Callable[[], None]) -> None:
    """Make a folder unless it is whole and made from just this; one process at a time."""
    finished = target / FINISHED
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(target.with_name(f"{target.name}.lock")):
        if finished.exists() and finished.read_text(encoding="utf-8") == made_from:
            return
        print(
            f"Making {what} in {target}; this happens once and takes some minutes, with a build "
            "some twenty.",
            file=sys.stderr,
        )
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir()
        make()
        finished.write_text(made_from, encoding="utf-8")


def run(what: str, *command: str | Path, variables: Mapping[str, str] | None = None) -> None:
    """Run a command that makes something.

    Raises:
        OutriderError: it failed; its last words are told.
    """
    environment = {
        **os.environ,
        "CMAKE_BUILD_PARALLEL_LEVEL": str(os.cpu_count() or 1),
        **(variables or {}),
    }
    done = subprocess.run(
        list(map(str, command)),
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        lines = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        # Of what pip and CMake say, the errors explain, and warnings come behind them.
        errors = [line for line in lines if "error" in line.lower()] or lines
        words = errors[-1].strip() if errors else f"exit status {done.returncode}"
        raise OutriderError(f"{what} could not be made here: {words}")


def _lines(variables: Mapping[str, str] | None) -> list[str]:
    return [f"{name}={value}" for name, value in (variables or {}).items()]
