"""A plan for every member's own storage, ten or ten thousand of them: one exact optimum, with its certificate."""
