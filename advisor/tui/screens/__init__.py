"""One module a screen: its widgets, keys, help and style together."""
