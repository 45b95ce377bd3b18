"""Documents of the API as pictures: pure functions, one module for each noun."""
