from __future__ import annotations

from outrider.drafters.base import DraftEntry
from outrider.drafters.growth import Growth, Guess
from outrider.sampling import Sampler
from outrider.tree import ROOT
from outrider.types import Sampling


def growth(max_nodes: int, max_depth: int, width: int, worth: float = 0.0) -> Growth:
    sampler = Sampler(Sampling(), vocab_size=50, seed=0)
    entry = DraftEntry(1, [1, 2], 2, sampler, min_path_probability=worth)
    return Growth(entry, max_nodes, max_depth, width, 2)


def guesses(*pairs: tuple[int, float]) -> list[Guess]:
    return [Guess(token, p, p) for token, p in pairs]


def test_the_likeliest_nodes_of_a_level_are_followed_up() -> None:
    g = growth(10, 3, 2)
    g.grow([(ROOT, guesses((5, 0.5), (6, 0.3), (7, 0.1)))])
    assert g.frontier == [0, 1]
    g.grow([(0, guesses((8, 0.9))), (1, guesses((9, 0.2), (4, 0.1)))])
    assert g.frontier == [3, 4]
    assert g.needed() == [0, 1, 3, 4]
    assert g.path_tokens(3) == [5, 8]
    g.grow([(3, guesses((1, 0.9))), (4, guesses((1, 0.9)))])
    assert g.frontier == []
    assert len(g.tree()) == 8


def test_the_tree_keeps_the_likeliest_nodes_and_their_parents() -> None:
    g = growth(3, 3, 2)
    g.grow([(ROOT, guesses((5, 0.5), (6, 0.3), (7, 0.2)))])
    g.grow([(0, guesses((8, 0.9))), (1, guesses((9, 0.2)))])
    tree = g.tree()
    assert tree.tokens == (5, 6, 8)
    assert tree.parents == (ROOT, ROOT, 0)


def test_growth_stops_where_deeper_nodes_cannot_be_kept() -> None:
    g = growth(2, 9, 2)
    g.grow([(ROOT, guesses((5, 0.5), (6, 0.4)))])
    assert g.frontier == [0]
    g.grow([(0, guesses((8, 0.1), (9, 0.05)))])
    assert g.frontier == []


def test_what_is_not_worth_its_row_is_left_out() -> None:
    g = growth(9, 9, 2, worth=0.3)
    g.grow([(ROOT, guesses((5, 0.5), (6, 0.2)))])
    assert g.tokens == [5]
    g.grow([(0, guesses((7, 0.5)))])
    assert g.frontier == []
    assert g.tree().tokens == (5,)
