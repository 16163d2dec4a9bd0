"""The whole walk, composed once: facts → plan → run → outcome. Both doors and the Python interface call this."""
