"""Readers of the machine, one fragment of `Hardware` a module. Read-only; what is absent comes back as an `Unknown`."""
