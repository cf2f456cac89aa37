"""What tests and benchmarks share: a real registry, a real engine, a small image."""
