"""The environments that llama.cpp is built in, one for each instruction set compared with."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]


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


def python(build: Build) -> Path:
    """The interpreter of a build's environment, made and built if there is none yet."""
    environment = ROOT / build.environment
    interpreter, finished = environment / "bin" / "python", environment / "finished"
    if not finished.exists():
        print(
            f"Building llama.cpp ({build.name}) in {environment}; this happens once and takes some "
            "ten minutes on two cores.",
            file=sys.stderr,
        )
        subprocess.run([sys.executable, "-m", "venv", "--clear", environment], check=True)
        subprocess.run(
            [
                *(interpreter, "-m", "pip", "install", "--quiet", "--no-cache-dir"),
                *("--no-binary", "llama-cpp-python"),
                *("--requirement", HERE / "requirements.txt"),
            ],
            check=True,
            env={
                **os.environ,
                "CMAKE_ARGS": build.cmake,
                "CMAKE_BUILD_PARALLEL_LEVEL": str(os.cpu_count() or 1),
            },
        )
        finished.touch()
    return interpreter
