#!/usr/bin/env python3
"""The one entry point: up, loop, project, candidate, audit, doctor and Django's own commands. `signoff` does the same."""

from research_app.command_line import main

if __name__ == "__main__":
    main()
