"""Runs against runs: like with like, each difference with its interval and whether it is more than noise. Computed when reading."""
