# shellcheck shell=sh
# job.json: what became of a job, where, and how long it took.

: "${RECORD_RUNNER:=machine}" # who ran it: machine, or container

# record_json CODE MESSAGE: prints job.json, format 1.
record_json() {
	printf '{"format":1,"exit_code":%s,' "$(json_number "$1")"
	[ ! -e "$B2D_STATE/kept" ] || printf '"kept":true,'
	printf '"image":%s,' "$(record_state image)"
	printf '"image_id":%s,' "$(record_state image-id)"
	printf '"message":%s,' "$(json_text "$2")"
	printf '"failed_phase":%s,' "$(record_state failed-phase)"
	printf '"marks":{%s},' "$(record_marks)"
	printf '"downloaded_bytes":%s,"reused_bytes":%s,' \
		"$(record_count downloaded-bytes)" "$(record_count reused-bytes)"
	printf '"layers":[%s],' "$(record_layers)"
	printf '"memory_peak_mb":%s,' "$(awk 'NR == 1 { print int($1 / 1024) }' "$B2D_RUN/memory-peak" 2>/dev/null | grep . || printf null)"
	printf '"boots":%s,"restores":%s,' "$(record_boots)" "${RECORD_RESTORES:-0}"
	printf '"runner":"%s","architecture":"%s",' "$RECORD_RUNNER" "$(uname -m)"
	printf '"agent":%s,"base":%s}\n' "$(json_text "$AGENT_VERSION")" "$(json_text "$AGENT_BASE")"
}

# record_state NAME: prints as a JSON string what the job left under this name in $B2D_STATE, or null.
record_state() {
	if [ -s "$B2D_STATE/$1" ]; then
		head -c 4096 "$B2D_STATE/$1" | awk 'NR > 1 { printf "\n" } { printf "%s", $0 }' | json_string
	else
		printf 'null'
	fi
}

# record_count NAME: prints the number of bytes the store left under this name in $B2D_STATE, else 0.
record_count() {
	record_number=$(json_number "$(head -n 1 "$B2D_STATE/$1" 2>/dev/null)")
	[ "$record_number" != null ] || record_number=0
	printf '%s' "$record_number"
}

# record_marks: prints the stages' times as members of an object, the first of each name.
record_marks() {
	awk '$1 ~ /^[a-z][a-z0-9-]*$/ && $2 ~ /^[0-9]+(\.[0-9]+)?$/ && !seen[$1]++ {
		printf "%s\"%s\":%.2f", separator, $1, $2
		separator = ","
	}' "$B2D_RUN/marks" 2>/dev/null
}

# record_layers: prints the layers and their sources as elements of an array.
record_layers() {
	awk '{ printf "%s{\"digest\":\"%s\",\"bytes\":%s,\"source\":\"%s\"}", separator, $1, $2, $3; separator = "," }' \
		"$B2D_STATE/sources" 2>/dev/null
}

# record_boots: prints how often this job was started, or null.
record_boots() {
	json_number "$(head -c 16 "$B2D_SHARE/.boinc2docker/boots" 2>/dev/null | tr -dc '0-9')"
}
