"""Attempts to escape or to cheat that are whole runs, and the table of all attempts: `python -m tests.escape`."""
