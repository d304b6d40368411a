"""A corpus of cheats, each run through the whole product from submission to verdict: `python -m tests.cheats`."""
