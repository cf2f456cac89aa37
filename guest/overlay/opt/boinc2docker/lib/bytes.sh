# shellcheck shell=sh
# Sizes of files, and how events show them.

# bytes_of FILE: prints its size.
bytes_of() {
	stat -c %s -- "$1" 2>/dev/null || wc -c 2>/dev/null <"$1"
}

# bytes_mb BYTES: prints a size as events show it.
bytes_mb() {
	printf '%s.%s MB' "$(($1 / 1000000))" "$(($1 / 100000 % 10))"
}
