"""Which model does which part of the work: strategies that stand on `Generator` alone."""
