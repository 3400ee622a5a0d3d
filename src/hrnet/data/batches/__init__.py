"""People as batches of crops: which crops are drawn, their pixels, and in what order they come."""
