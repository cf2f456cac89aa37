# shellcheck shell=sh
# shellcheck disable=SC2034 # results are variables: read by the files that source this one
# results.tgz: the content of the job's results/, in the same bytes on every host. It is packed on the machine's own disk, then
# copied to the host.

# results_pack: writes $B2D_KEEP/results.tgz. Fails with RESULTS_ERROR, and leaves nothing of that name.
results_pack() {
	RESULTS_ERROR=
	if [ -L "$B2D_JOB/results" ] || [ ! -d "$B2D_JOB/results" ]; then
		if [ -L "$B2D_JOB/results" ] || [ -e "$B2D_JOB/results" ]; then
			RESULTS_ERROR='/root/shared/results is not a directory: the job replaced it'
			return 1
		fi
		mkdir "$B2D_JOB/results" || RESULTS_ERROR='/root/shared/results cannot be made'
		[ -z "$RESULTS_ERROR" ] || return 1
	fi
	results_part=$B2D_KEEP/results.tgz.part
	rm -rf "$B2D_RUN/results.errors" "$B2D_RUN/results.failed" "$results_part" "$B2D_KEEP/results.tgz"
	results_odd=$(find "$B2D_JOB/results" ! -type f ! -type d ! -type l 2>/dev/null | grep -c .)
	[ "$results_odd" -eq 0 ] || log results "$results_odd sockets, pipes or devices left out"
	if ! results_stream | gzip -n >"$results_part" 2>>"$B2D_RUN/results.errors"; then
		RESULTS_ERROR="results.tgz cannot be packed: $(results_reason)"
	elif [ -e "$B2D_RUN/results.failed" ]; then
		RESULTS_ERROR="reading the results failed: $(results_reason)"
	elif ! mv -f "$results_part" "$B2D_KEEP/results.tgz" 2>>"$B2D_RUN/results.errors"; then
		RESULTS_ERROR="results.tgz cannot be finished: $(results_reason)"
	else
		return 0
	fi
	[ "$(work_free_kb)" -ge 2048 ] || RESULTS_ERROR="$RESULTS_ERROR; the machine's disk is full: the job needs more room for what it writes (--disk)"
	rm -f "$results_part"
	return 1
}

# results_hand_over: copies results.tgz to the host. Fails with RESULTS_ERROR.
results_hand_over() {
	if ! deliver "$B2D_KEEP/results.tgz" results.tgz; then
		RESULTS_ERROR="results.tgz cannot be handed over: $DELIVER_ERROR"
		return 1
	fi
	log_mark results
	log results "results.tgz $(bytes_of "$B2D_KEEP/results.tgz") bytes"
}

# results_reason: prints the last lines of the programs' errors.
results_reason() {
	tail -n 2 "$B2D_RUN/results.errors" | cut -c 1-300
}

# results_stream: prints the tar stream; a failure leaves $B2D_RUN/results.failed.
results_stream() {
	results_tar=$(tar_gnu) || results_tar=
	(
		cd "$B2D_JOB/results" || exit 1
		if [ -n "$results_tar" ]; then
			results_gnu "$results_tar"
		else
			log results 'no GNU tar on this base: the archive is not reproducible'
			results_plain
		fi
	) 2>>"$B2D_RUN/results.errors" || : >"$B2D_RUN/results.failed"
}

# results_gnu TAR: sorts names; drops times, owners, hard links and all permissions but execution; leaves out the root.
results_gnu() {
	find . -mindepth 1 \( -type f -o -type d -o -type l \) -print0 >"$B2D_RUN/results.list" || return 1
	sort -z "$B2D_RUN/results.list" |
		"$1" -cf - --format=gnu --no-recursion --null -T - --transform='s,^\./,,rSH' --hard-dereference \
			--mtime=@0 --owner=0 --group=0 --numeric-owner --mode='u=rw,go=r,a+X'
}

# results_plain: does what an old busybox' tar can do. It reads no list of names, so they are its arguments, sorted, if they are
# few and each on one line.
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
