"""One module a tracker, named after the library that it imports. Each has ``open_tracker(folder, run)``."""
