"""Whether speculation says what plain decoding says: checked by running both, token for token."""

from outrider.certify.answers import Answer, Case
from outrider.certify.cells import ENOUGH, Cell, Certificate, Failure, Said, Setting, Wish
from outrider.certify.compare import (
    ChiSquare,
    Divergence,
    chi_square,
    chi_square_bound,
    divergence,
    first_difference,
)
from outrider.certify.run import certify
from outrider.certify.salt import Guide, SaltedDrafter

__all__ = [
    "ENOUGH",
    "Answer",
    "Case",
    "Cell",
    "Certificate",
    "ChiSquare",
    "Divergence",
    "Failure",
    "Guide",
    "Said",
    "SaltedDrafter",
    "Setting",
    "Wish",
    "certify",
    "chi_square",
    "chi_square_bound",
    "divergence",
    "first_difference",
]
