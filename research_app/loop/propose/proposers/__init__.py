"""The proposers of the loop, a module each, which holds a PROPOSER (research_app/loop/propose/registered.py)."""
