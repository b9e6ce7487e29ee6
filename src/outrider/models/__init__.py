"""Model files: which there are, how they come here, where they lie."""

from outrider.models.catalogue import DEFAULT_MODEL, Entry, Terms, entries
from outrider.models.download import Progress, ensure
from outrider.models.store import InstalledModel, cache_directory, installed, location, remove

__all__ = [
    "DEFAULT_MODEL",
    "Entry",
    "InstalledModel",
    "Progress",
    "Terms",
    "cache_directory",
    "ensure",
    "entries",
    "installed",
    "location",
    "remove",
]
