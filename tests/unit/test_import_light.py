from __future__ import annotations

import subprocess
import sys

HEAVY = ("numpy", "tokenizers", "jinja2", "httpx", "rich", "typer", "outrider._native")


def loaded_after(statement: str) -> set[str]:
    code = f"import sys\n{statement}\nprint(*sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    return set(result.stdout.split())


def test_import_outrider_loads_no_heavy_library() -> None:
    assert not loaded_after("import outrider") & set(HEAVY)


def test_the_command_line_is_described_without_heavy_libraries() -> None:
    loaded = loaded_after("from outrider.cli.app import app")

    assert not loaded & (set(HEAVY) - {"typer"})
