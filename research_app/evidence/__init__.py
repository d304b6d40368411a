"""Pure statistics: numbers in, verdicts out. No Django, no I/O."""
