"""Sets of questions: answered by a profile, and graded."""
