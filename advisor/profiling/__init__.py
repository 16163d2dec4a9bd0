"""The data: read from wherever they lie, and described column by column, before any model is fitted."""
