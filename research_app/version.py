"""The version of this checkout: pyproject.toml reads it here, so that it needs no installation to be known."""

VERSION = "0.3.0"
