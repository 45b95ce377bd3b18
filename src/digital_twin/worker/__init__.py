"""The process that carries out Runs and keeps every community's state current."""
