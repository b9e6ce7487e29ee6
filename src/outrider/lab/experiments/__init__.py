"""The experiments that come with Outrider."""
