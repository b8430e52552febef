"""Meaning: pure values and functions, no input or output."""
