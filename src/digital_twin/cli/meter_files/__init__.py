"""Understanding meter files: what is guessed is shown, what would change numbers is asked, nothing is silent."""
