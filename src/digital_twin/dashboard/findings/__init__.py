"""Documents of the API as sentences: pure functions, one module for each noun."""
