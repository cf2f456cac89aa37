"""Where a base ISO comes from."""
