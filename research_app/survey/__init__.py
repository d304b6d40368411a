"""Survey: what a repository looks like from outside, and the project file that follows from it.

`sources` reads the files of a commit, `entry` finds what trains, `options`, `seed`, `budget`, `output` and `machine` say how,
each with the place where it was seen, and `draft` writes the file. Nothing of the repository is imported or run: its text is
parsed.
"""
