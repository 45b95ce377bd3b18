"""Why a plan is as it is, what its limits are worth, and why there is none."""
