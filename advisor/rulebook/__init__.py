"""Reads and checks the files of rules/."""
