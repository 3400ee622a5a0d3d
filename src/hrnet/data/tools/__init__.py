"""Labelling tools' own formats, to COCO's and back."""
