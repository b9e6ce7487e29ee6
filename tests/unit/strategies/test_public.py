from __future__ import annotations

import importlib

import pytest

from outrider import strategies


def test_strategies_have_their_names_at_hand() -> None:
    assert set(strategies.__all__) == set(strategies._HOMES)
    for name, home in strategies._HOMES.items():
        assert getattr(strategies, name) is getattr(importlib.import_module(home), name)
    with pytest.raises(AttributeError, match="no attribute 'Thoughts'"):
        strategies.Thoughts  # noqa: B018
