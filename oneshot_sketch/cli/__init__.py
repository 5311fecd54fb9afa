"""`oneshot-sketch`: parses and calls, no more."""
