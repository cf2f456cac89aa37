# shellcheck shell=sh
# shellcheck disable=SC2034 # results are variables: read by the files that source this one
# results.tgz: the content of shared/results, as the same bytes on every host.

# results_pack: writes $B2D_SHARED/results.tgz. Fails, with RESULTS_ERROR set and nothing under that name.
results_pack() {
	RESULTS_ERROR=
	mkdir -p "$B2D_SHARED/results" || {
		RESULTS_ERROR='shared/results cannot be made'
		return 1
	}
	results_part=$B2D_SHARED/results.tgz.part
	rm -f "$B2D_RUN/results.errors" "$B2D_RUN/results.failed" "$results_part"
	results_odd=$(find "$B2D_SHARED/results" ! -type f ! -type d ! -type l 2>/dev/null | grep -c .)
	[ "$results_odd" -eq 0 ] || log results "$results_odd sockets, pipes or devices left out"
	if ! results_stream | gzip -n >"$results_part" 2>>"$B2D_RUN/results.errors"; then
		RESULTS_ERROR="results.tgz cannot be written: $(results_reason)"
	elif [ -e "$B2D_RUN/results.failed" ]; then
		RESULTS_ERROR="reading the results failed: $(results_reason)"
	elif ! { flush "$results_part" && mv -f "$results_part" "$B2D_SHARED/results.tgz"; } 2>>"$B2D_RUN/results.errors"; then
		RESULTS_ERROR="results.tgz cannot be finished: $(results_reason)"
	else
		mark results
		log results "results.tgz $(file_bytes "$B2D_SHARED/results.tgz") bytes"
		return 0
	fi
	rm -f "$results_part"
	return 1
}

# results_reason: prints the last thing a program said about it.
results_reason() {
	tail -n 2 "$B2D_RUN/results.errors" | cut -c 1-300
}

# results_stream: the tar stream; a failure leaves $B2D_RUN/results.failed.
results_stream() {
	results_tar=$(gnu_tar) || results_tar=
	(
		cd "$B2D_SHARED/results" || exit 1
		if [ -n "$results_tar" ]; then
			results_gnu "$results_tar"
		else
			log results 'no GNU tar on this base: the archive is not reproducible'
			results_plain
		fi
	) 2>>"$B2D_RUN/results.errors" || : >"$B2D_RUN/results.failed"
}

# results_gnu TAR: names sorted; no times, owners, permissions (vboxsf shows none), hard links. The root is not listed.
results_gnu() {
	find . -mindepth 1 \( -type f -o -type d -o -type l \) -print0 >"$B2D_RUN/results.list" || return 1
	sort -z "$B2D_RUN/results.list" |
		"$1" -cf - --format=gnu --no-recursion --null -T - --transform='s,^\./,,rSH' --hard-dereference \
			--mtime=@0 --owner=0 --group=0 --numeric-owner --mode='u=rw,go=r,a+X'
}

# results_plain: what an old busybox' tar can do: no list of names, so they are its arguments, sorted, while they are few
# and of one line each.
results_plain() {
	find . \( -type f -o -type l -o -type d -empty \) ! -name . | sort >"$B2D_RUN/results.list" || return 1
	set --
	if [ "$(grep -c . "$B2D_RUN/results.list")" -le 2000 ] && [ -z "$(find . -name '*
*' | head -n 1)" ]; then
		while IFS= read -r results_name; do
			set -- "$@" "$results_name"
		done <"$B2D_RUN/results.list"
	else
		set -- .
	fi
	if [ "$#" -gt 0 ]; then
		tar -cf - "$@"
	else
		head -c 10240 /dev/zero # an empty archive
	fi
}

# gnu_tar: prints the path of a GNU tar, whatever PATH puts first; fails if there is none.
gnu_tar() {
	for gnu_tar in "$(command -v tar)" "$B2D_ROOT/usr/bin/tar" "$B2D_ROOT/bin/tar" "$B2D_ROOT/usr/local/bin/tar"; do
		case $("$gnu_tar" --version 2>/dev/null) in
		*'GNU tar'*) printf '%s\n' "$gnu_tar" && return 0 ;;
		esac
	done
	return 1
}

# flush FILE: brings it to the host's disk. Fails if the host could not take it. An old sync ignores its operands, with a
# warning, and brings everything there; it cannot fail.
flush() {
	sync "$1"
}
