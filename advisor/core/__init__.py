"""Values and pure functions: the vocabulary every other room speaks. Standard library and pydantic only."""
