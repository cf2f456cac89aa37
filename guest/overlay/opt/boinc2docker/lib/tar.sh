# shellcheck shell=sh
# Which tar this base has.

# tar_gnu: prints the path of a GNU tar, whatever PATH puts first; fails if there is none.
tar_gnu() {
	for tar_path in "$(command -v tar)" "$B2D_ROOT/usr/bin/tar" "$B2D_ROOT/bin/tar" "$B2D_ROOT/usr/local/bin/tar"; do
		case $("$tar_path" --version 2>/dev/null) in
		*'GNU tar'*) printf '%s\n' "$tar_path" && return 0 ;;
		esac
	done
	return 1
}
