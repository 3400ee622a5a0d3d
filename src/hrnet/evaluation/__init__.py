"""Figures of a model, each with its protocol."""
