"""The benchmarks behind ``invoke bench``."""
