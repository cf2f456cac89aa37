"""The benchmarks behind ``bench``."""
