"""Data sets: reading, checking and preparing them, and their people as batches of crops."""
