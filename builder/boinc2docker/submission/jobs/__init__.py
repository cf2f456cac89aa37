"""What became of jobs, and how to end them."""
