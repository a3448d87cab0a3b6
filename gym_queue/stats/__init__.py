"""Counting, without I/O."""
