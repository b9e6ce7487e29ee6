from __future__ import annotations

import importlib

import pytest

import outrider


def test_the_public_names_are_these() -> None:
    assert sorted(outrider.__all__) == [
        "Completion",
        "Event",
        "LLM",
        "Message",
        "OutriderError",
        "Request",
        "Sampling",
        "Speculation",
        "__version__",
    ]


def test_every_public_name_is_what_its_module_defines() -> None:
    assert set(outrider.__all__) - {"__version__"} == set(outrider._HOMES)
    for name, home in outrider._HOMES.items():
        assert getattr(outrider, name) is getattr(importlib.import_module(home), name)
        assert name in dir(outrider)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Llm'"):
        outrider.Llm  # noqa: B018
