"""What goes with speculation in any engine, each measured with and without."""
