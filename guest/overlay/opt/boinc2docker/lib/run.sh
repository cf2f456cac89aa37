# shellcheck shell=sh
# Running the job's script: keeps its output and exact exit status, and leaves nothing of it running. What runs is this
# machine's own copy: a shell reads a script as it runs it, and nobody else may change it.

# run_job: runs the job and the site's hooks; sets RUN_EXIT and RUN_MESSAGE.
run_job() {
	RUN_EXIT=1
	if ! cp "$B2D_SHARE/boinc_app" "$B2D_RUN/boinc_app" 2>/dev/null; then
		RUN_MESSAGE='there is no job: shared/boinc_app is missing'
		log run "$RUN_MESSAGE"
		return 0
	fi
	run_hook before-job || {
		RUN_MESSAGE="the site's before-job hook failed"
		log run "$RUN_MESSAGE"
		return 0
	}
	run_captured
	RUN_MESSAGE=$(head -c 2000 "$B2D_STATE/message" 2>/dev/null | tr -d '\000')
	if [ "$RUN_EXIT" -eq 0 ]; then
		RUN_MESSAGE=
	else
		[ -n "$RUN_MESSAGE" ] || RUN_MESSAGE="the job ended with exit code $RUN_EXIT"
		log run "$RUN_MESSAGE"
		run_last_words
	fi
	run_hook after-job "$RUN_EXIT" || log run "the site's after-job hook failed"
}

# run_captured: runs boinc_app with both streams captured; sets RUN_EXIT.
run_captured() {
	run_dir=$B2D_RUN/output
	rm -rf "$run_dir" "$B2D_RUN/stdout" "$B2D_RUN/stderr"
	mkdir -p "$run_dir" && mkfifo "$B2D_RUN/stdout" "$B2D_RUN/stderr" || return 0
	run_reader 1 stdout
	run_reader_1=$!
	run_reader 2 stderr
	run_reader_2=$!
	run_app >"$B2D_RUN/stdout" 2>"$B2D_RUN/stderr" &
	RUN_PID=$!
	wait "$RUN_PID"
	RUN_EXIT=$?
	# What the job left running would keep the pipes open.
	[ -z "$RUN_GROUP" ] || kill -s KILL -- "-$RUN_PID" 2>/dev/null
	RUN_PID=
	run_readers_end "$run_reader_1" "$run_reader_2"
}

# run_reader NUMBER NAME: starts to capture a stream; $! is who does. `boinc2docker run`, and nobody else, sees it live, too.
run_reader() {
	if [ -x "$B2D_STREAM" ] && "$B2D_STREAM"; then
		"$B2D_STREAM" "$1" <"$B2D_RUN/$2" 3>"$B2D_RUN/stream.lock" | capture "$2" "$run_dir" &
	else
		capture "$2" "$run_dir" <"$B2D_RUN/$2" &
	fi
}

# run_app: becomes the job, in its own process group where possible, and without the agent's protection from the kernel's OOM
# killer.
run_app() {
	trap - EXIT HUP INT TERM
	cd "$B2D_JOB" || exit 1
	{ printf '0\n' >"$B2D_PROC/self/oom_score_adj"; } 2>/dev/null || :
	if [ -n "$RUN_GROUP" ]; then
		exec setsid sh "$B2D_RUN/boinc_app" </dev/null
	fi
	exec sh "$B2D_RUN/boinc_app" </dev/null
}

# run_readers_end PID...: waits ten seconds for the readers, then ends those that still wait for output.
run_readers_end() {
	run_tries=100
	for run_reader in "$@"; do
		while kill -0 "$run_reader" 2>/dev/null && [ "$run_tries" -gt 0 ]; do
			run_tries=$((run_tries - 1))
			sleep 0.1 2>/dev/null || sleep 1
		done
		kill "$run_reader" 2>/dev/null
		wait "$run_reader" 2>/dev/null
	done
}

# run_last_words: logs the end of a failed job's output: 10 lines and at most 1 KB of each stream.
run_last_words() {
	for run_stream in stdout stderr; do
		[ -s "$B2D_RUN/output/$run_stream.txt" ] || continue
		tail -c 1024 "$B2D_RUN/output/$run_stream.txt" | tail -n 10 >"$B2D_RUN/last-words"
		while IFS= read -r run_line || [ -n "$run_line" ]; do
			log run "$run_stream: $run_line"
		done <"$B2D_RUN/last-words"
	done
}

# run_hook NAME [WORD]: runs the site's hook, if there is one.
run_hook() {
	[ -f "$B2D_HOME/site/hooks/$1" ] || return 0
	(cd "$B2D_JOB" && sh "$B2D_HOME/site/hooks/$1" ${2+"$2"} </dev/null >"$B2D_RUN/hook" 2>&1)
	run_hook_status=$?
	tail -c 16384 "$B2D_RUN/hook" >>"$B2D_LOG"
	log run "hook $1: exit $run_hook_status"
	return "$run_hook_status"
}
