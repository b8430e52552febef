"""Holes of the system that this one replaces, each closed."""
