"""Many jobs at once: files of jobs, sweeps, reports."""
