"""The outside, one file or folder per technology."""
