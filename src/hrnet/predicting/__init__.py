"""The one road from pictures to results."""
