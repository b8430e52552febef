"""Watching the service: what is checked, what is measured, and how fresh either is."""
