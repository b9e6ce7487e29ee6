"""Other engines as sides of a measurement: their environments, files, modes and workers."""
