"""Measurements of the promises that are about time and memory, as ratios."""
