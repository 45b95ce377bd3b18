"""What if: synthetic communities that behave like real ones.

`synthetic` imports numba and pvlib; nothing is imported here, so that the words of a scenario cost little.
"""
