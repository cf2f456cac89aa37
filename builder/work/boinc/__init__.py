"""Everything that knows BOINC's server: a job becomes a work unit, or a hundred thousand of them do."""
