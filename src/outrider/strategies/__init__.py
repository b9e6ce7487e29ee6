"""Above the token: which model does which part of the work."""
