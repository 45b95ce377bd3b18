"""A plan under risk: one schedule of the storage for all that may come, weighed by what the bad courses cost (CVaR)."""
