"""Sets of questions, answered through a profile."""
