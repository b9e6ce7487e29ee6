"""The environments of the peers, each made once, below the checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent


@dataclass(frozen=True, slots=True)
class Build:
    """How llama.cpp is built.

    Attributes:
        name: of the build.
        environment: the folder of its environment, below the checkout's.
        cmake: the arguments that make it so.
        kernel: the kernel of ours that is fair beside it; None leaves the best.
    """

    name: str
    environment: str
    cmake: str
    kernel: str | None = None


NATIVE = Build("native", ".venv-llamacpp", "-DGGML_NATIVE=ON")
AVX2 = Build(
    "AVX2",
    ".venv-llamacpp-avx2",
    "-DGGML_NATIVE=OFF -DGGML_AVX=ON -DGGML_AVX2=ON -DGGML_FMA=ON -DGGML_F16C=ON -DGGML_BMI2=ON "
    "-DGGML_AVX512=OFF -DGGML_AVX_VNNI=OFF",
    kernel="avx2",
)
SERVER_CMAKE = (
    "-DCMAKE_BUILD_TYPE=Release",
    "-DBUILD_SHARED_LIBS=OFF",
    "-DLLAMA_OPENSSL=OFF",
    "-DLLAMA_BUILD_TESTS=OFF",
    "-DLLAMA_BUILD_EXAMPLES=OFF",
    "-DLLAMA_BUILD_UI=OFF",
)


def llamacpp(build: Build) -> Path:
    """The interpreter of an environment with llama-cpp-python, built from source."""
    return python(
        build.environment,
        "llamacpp",
        f"llama.cpp ({build.name}), which takes some ten minutes on two cores",
        arguments=("--no-binary", "llama-cpp-python"),
        variables={"CMAKE_ARGS": build.cmake},
    )


def xllamacpp() -> Path:
    """The interpreter of an environment with the wheel of llama.cpp's server."""
    return python(".venv-xllamacpp", "xllamacpp", "llama.cpp's server, as a wheel")


def openvino() -> Path:
    """The interpreter of an environment with OpenVINO GenAI."""
    return python(".venv-openvino", "openvino", "OpenVINO GenAI")


def transformers() -> Path:
    """The interpreter of an environment with transformers and PyTorch."""
    return python(".venv-transformers", "transformers", "transformers and PyTorch")


def python(
    folder: str,
    requirements: str,
    what: str,
    *,
    arguments: tuple[str, ...] = (),
    variables: Mapping[str, str] | None = None,
) -> Path:
    """The interpreter of an environment, which is made if there is none yet.

    Args:
        folder: of the environment, below the checkout.
        requirements: the file of `requirements` that is installed.
        what: it is made for, as its user is told.
        arguments: further ones of pip.
        variables: further environment variables of the installation.
    """
    environment = ROOT / folder
    interpreter, finished = environment / "bin" / "python", environment / "finished"
    if not finished.exists():
        print(f"Making {environment} for {what}; this happens once.", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", environment], check=True)
        subprocess.run(
            [
                *(interpreter, "-m", "pip", "install", "--quiet", "--no-cache-dir", *arguments),
                *("--requirement", HERE / "requirements" / f"{requirements}.txt"),
            ],
            check=True,
            env={
                **os.environ,
                "CMAKE_BUILD_PARALLEL_LEVEL": str(os.cpu_count() or 1),
                **(variables or {}),
            },
        )
        finished.touch()
    return interpreter


def llama_server(build: Build = NATIVE) -> Path:
    """llama.cpp's server, built from the source that llama-cpp-python brings.

    A build of one's own, because the wheel's computes with the instructions that every processor
    has.
    """
    folder = ROOT / f"{build.environment}-server"
    program, finished = folder / "bin" / "llama-server", folder / "finished"
    if finished.exists():
        return program
    print(
        f"Building llama.cpp's server ({build.name}) in {folder}; this happens once and takes "
        "some twenty minutes on two cores.",
        file=sys.stderr,
    )
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    requirement = _requirement("llama-cpp-python")
    pip = (sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-cache-dir")
    subprocess.run(
        [*pip, "--no-binary", "llama-cpp-python", "--dest", folder, requirement], check=True
    )
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as file:
        file.extractall(folder, filter="data")
    archive.unlink()
    (source,) = folder.glob("*/vendor/llama.cpp")
    cmake = Path(sys.executable).parent / "cmake"
    make = [*("-S", source, "-B", folder), *SERVER_CMAKE, *build.cmake.split()]
    subprocess.run([cmake, *make], check=True, stdout=subprocess.DEVNULL)
    command = [cmake, "--build", folder, "--target", "llama-server", "--parallel"]
    subprocess.run([*command, str(os.cpu_count() or 1)], check=True, stdout=subprocess.DEVNULL)
    finished.touch()
    return program


def _requirement(package: str) -> str:
    """The line of `requirements/llamacpp.txt` that pins a package."""
    lines = (HERE / "requirements" / "llamacpp.txt").read_text(encoding="utf-8").splitlines()
    return next(line for line in lines if line.startswith(f"{package}=="))
