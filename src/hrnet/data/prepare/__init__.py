"""Published data sets brought into the form to train on: annotation files and linked pictures."""
