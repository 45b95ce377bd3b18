"""One page for each noun: asks the API, and lays pictures and their findings out."""
