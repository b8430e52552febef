"""Deeds: each takes what it needs, reads no clock, and done twice is done once."""
