"""The pages that people look at; they reach the twin through the client alone."""
