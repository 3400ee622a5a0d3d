"""Labelling tools' own formats, both ways: one file a tool."""
