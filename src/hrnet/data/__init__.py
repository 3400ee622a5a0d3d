"""Annotated people as batches of crops."""
