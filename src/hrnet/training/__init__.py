"""Recipes, the Lightning module, and the run itself."""
