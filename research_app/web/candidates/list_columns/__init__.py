"""Columns of the candidate list, a module each, which holds a COLUMN (research_app/web/candidates/columns.py)."""
