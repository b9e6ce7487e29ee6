"""Engines: the models that decide."""
