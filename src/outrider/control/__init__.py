"""Controllers: how many rows a step may spend on drafts."""
