"""Measurements, each against what bare SQL costs on the same cluster in the same run. `python -m bench`."""
