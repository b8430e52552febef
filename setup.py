"""Packaging lies in pyproject.toml. This file keeps `python setup.py install` of older guides working.

Today's setuptools would run easy_install for it or leave the dependencies out, so pip does it instead. That
word is caught before setuptools is imported: a new virtual environment of Python 3.12 has none.
"""

import subprocess
import sys
from pathlib import Path

if sys.argv[1:2] == ["install"]:
    folder = Path(__file__).resolve().parent
    sys.exit(subprocess.call([sys.executable, "-m", "pip", "install", *sys.argv[2:], str(folder)]))

from setuptools import setup

setup()
