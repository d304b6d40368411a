"""Training runs on a worker: the runner, the trusted scorer, the corpus and the targets. Knows nothing of Django."""
