"""The matrix of all routes: every address of the URLconf, with candidates at every stage, on hostile rows and parameters."""
