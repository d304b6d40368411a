"""Metric sources, a module each, which holds a SOURCE (training/metric_source.py)."""
