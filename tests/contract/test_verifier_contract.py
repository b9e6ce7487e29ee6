from __future__ import annotations

from outrider.testing import ExactVerifierContract, VerifierContract
from outrider.verify import CoupledVerifier, RejectionVerifier, TypicalVerifier, Verifier


class TestCoupled(ExactVerifierContract):
    def make(self) -> Verifier:
        return CoupledVerifier()


class TestRejection(ExactVerifierContract):
    def make(self) -> Verifier:
        return RejectionVerifier()


class TestTypical(VerifierContract):
    def make(self) -> Verifier:
        return TypicalVerifier()
