"""The status of submitted jobs, and their cancellation."""
