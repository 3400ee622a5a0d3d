"""Names of inputs and outputs in files that `hrnet export` writes."""

CROPS, POINTS, HEATMAPS = "crops", "points", "heatmaps"
PICTURES, BOXES = "pictures", "boxes"
