"""The command line: the program, its options, one module a command."""
