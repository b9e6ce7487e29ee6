"""Drafters: what rides ahead and proposes."""
