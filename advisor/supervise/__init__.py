"""Processes, signals, limits, locks: one engine process a run, one worker process a trial. Nothing of machine learning."""
