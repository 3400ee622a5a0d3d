"""Is an annotation file fit to be trained on? Faults by kind, before hours are spent."""
