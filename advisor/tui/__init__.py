"""The terminal door: Start → Questions → Plan → Run → Result, on the functions of the session."""
