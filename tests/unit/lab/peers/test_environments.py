"""Environments: made once, made anew when their requirements change, and failures told."""

from __future__ import annotations

import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

from outrider.errors import OutriderError
from outrider.lab.peers import environments


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What would have been run."""
    found: list[list[str]] = []
    monkeypatch.setenv("OUTRIDER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(environments, "REQUIREMENTS", tmp_path)
    monkeypatch.setattr(
        environments,
        "run",
        lambda what, *command, **_: found.append(list(map(str, command))),
    )
    (tmp_path / "engine.txt").write_text("engine==1\n")
    return found


def test_an_environment_is_made_once(commands: list[list[str]], tmp_path: Path) -> None:
    first = environments.python("engine", "an engine")
    assert first == tmp_path / "cache" / "peers" / "engine" / "bin" / "python"
    venv, install = commands
    assert venv[1:3] == ["-m", "venv"]
    assert install[-2:] == ["--requirement", str(tmp_path / "engine.txt")]
    assert environments.python("engine", "an engine") == first
    assert len(commands) == 2


def test_other_requirements_make_it_anew(commands: list[list[str]], tmp_path: Path) -> None:
    environments.python("engine", "an engine")
    (tmp_path / "engine.txt").write_text("engine==2\n")
    environments.python("engine", "an engine")
    assert len(commands) == 4


def test_packages_can_be_left_out(commands: list[list[str]]) -> None:
    environments.python("engine", "an engine", without=("heavy",))
    assert commands[-1][-4:] == ["uninstall", "--quiet", "--yes", "heavy"]


def test_what_the_usual_index_lacks_comes_from_another(
    commands: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(what: str, *command: str | Path, **_: Any) -> None:
        commands.append(list(map(str, command)))
        if "--requirement" in command and not any("wheel" in each for each in commands):
            raise OutriderError(f"{what} could not be made here: no matching distribution")

    monkeypatch.setattr(environments, "run", run)
    environments.python("engine", "an engine", lacking=("--index-url", "elsewhere", "wheel"))
    _, failed, brought, installed = commands
    assert failed == installed
    assert brought[-4:] == ["--no-deps", "--index-url", "elsewhere", "wheel"]


def test_why_an_environment_cannot_be_made_is_told(
    commands: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(what: str, *command: str | Path, **_: Any) -> None:
        commands.append(list(map(str, command)))
        if "install" in command:
            raise OutriderError(f"{what} could not be made here: {command[-1]} is nowhere")

    monkeypatch.setattr(environments, "run", run)
    with pytest.raises(OutriderError, match=r"could not be made here: .+engine\.txt is nowhere$"):
        environments.python("engine", "an engine", lacking=("--index-url", "elsewhere", "wheel"))
    assert len(commands) == 3


def test_one_that_was_interrupted_is_made_anew(
    commands: list[list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(what: str, *_: Any, **__: Any) -> None:
        raise OutriderError(f"{what} could not be made here")

    with monkeypatch.context() as broken:
        broken.setattr(environments, "run", fail)
        with pytest.raises(OutriderError, match="an engine could not be made"):
            environments.python("engine", "an engine")
    environments.python("engine", "an engine")
    assert len(commands) == 2


def test_the_server_is_built_from_the_pinned_source(
    commands: list[list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pins = ["llama-cpp-python==0.1", "cmake==4", "ninja==1", "numpy==2"]
    (tmp_path / "llamacpp.txt").write_text("# pinned\n" + "\n".join(pins) + "\n")

    def run(what: str, *command: str | Path, **_: Any) -> None:
        commands.append(list(map(str, command)))
        if "download" in command:
            target = Path(command[command.index("--dest") + 1])
            source = tmp_path / "llama_cpp_python-0.1" / "vendor" / "llama.cpp"
            source.mkdir(parents=True)
            with tarfile.open(target / "source.tar.gz", "w:gz") as archive:
                archive.add(tmp_path / "llama_cpp_python-0.1", "llama_cpp_python-0.1")

    monkeypatch.setattr(environments, "run", run)
    program = environments.llama_server()
    venv, tools, download, configure, build = commands
    assert venv[0] == sys.executable
    assert tools[-2:] == ["cmake==4", "ninja==1"]
    assert "llama-cpp-python==0.1" in download
    assert "--no-binary" in download
    assert "-DGGML_NATIVE=ON" in configure
    assert configure[configure.index("-S") + 1].endswith("llama_cpp_python-0.1/vendor/llama.cpp")
    assert build[build.index("--target") + 1] == "llama-server"
    assert program.name == "llama-server"


@pytest.mark.parametrize(
    ("build", "machine", "flags"),
    [
        (environments.NATIVE, {"avx512_vnni"}, None),
        (environments.AVX2, {"amx_tile"}, None),
        (environments.NATIVE, {"amx_tile"}, f"-g {environments.TILES}"),
    ],
)
def test_kernels_for_tiles_are_compiled_around_the_compilers_defect(
    build: environments.Build,
    machine: set[str],
    flags: str | None,
    commands: list[list[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given: list[dict[str, str]] = []
    monkeypatch.setenv("CXXFLAGS", "-g")
    monkeypatch.setattr(environments, "instruction_sets", lambda: frozenset(machine))
    monkeypatch.setattr(
        environments, "run", lambda *_, variables=None, **__: given.append(variables or {})
    )
    (tmp_path / "llamacpp.txt").write_text("llama-cpp-python==0.1\n")
    environments.llamacpp(build)
    assert given[-1].get("CXXFLAGS") == flags


def test_a_command_that_fails_tells_its_error() -> None:
    code = "import sys; sys.exit('ERROR: no such package\\nnotice: a newer pip is there')"
    with pytest.raises(OutriderError, match=r"^it could not be made here: ERROR: no such package$"):
        environments.run("it", sys.executable, "-c", code)
    with pytest.raises(OutriderError, match="exit status 3"):
        environments.run("it", sys.executable, "-c", "import sys; sys.exit(3)")


def test_every_pin_is_exact() -> None:
    for file in environments.REQUIREMENTS.glob("*.txt"):
        for line in file.read_text(encoding="utf-8").splitlines():
            assert line.startswith("#") or "==" in line, (file.name, line)
