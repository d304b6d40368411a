"""Formats of `project export`, a module each, which holds a FORMAT (research_app/histories/export.py)."""
