"""What decides which model, prompt and budget a piece of work gets; stands on `Generator` alone."""
