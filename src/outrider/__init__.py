"""Outrider makes large language models answer faster without changing what they say."""

__version__ = "0.1.0"
