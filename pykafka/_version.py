"""The one place where the version is written down; setup.py reads it without importing the package."""

__version__ = "3.0.0.dev0"
