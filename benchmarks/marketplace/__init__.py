"""A simulated marketplace: catalogue, query stream, feedback and drift, all by stated rules."""
