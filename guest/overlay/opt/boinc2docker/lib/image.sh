# shellcheck shell=sh
# Loading a job's image into Docker: one tar stream of manifest.json, config and the compressed layers as they are, so that we
# never make a second copy in memory or on disk.
#
# Files under $B2D_STATE say what to load: image (name), image-id, image-bytes, layers (lines of "digest bytes diff-id").

IMAGE_REPOSITORY=boinc2docker/job # tag of loaded images, for engines whose image ID is not the config's digest

# image_load: loads the job's image, if it is not loaded yet; sets IMAGE to its name for `docker create`. Fails with IMAGE_ERROR
# and IMAGE_LATER: seconds to wait before another try, 0 for never.
image_load() {
	IMAGE_ERROR='' IMAGE_LATER=0
	read -r image_id <"$B2D_STATE/image-id" || return 1
	image_config || return 1
	if image_present "$image_id"; then
		image_sources || : # for the report: where they would have come from
		log image 'already loaded'
		log_mark loaded
		return 0
	fi
	image_attempt || return 1
	rm -rf "$B2D_RUN/load" "$B2D_DOCKER_DATA/boinc2docker"
	log_mark loaded
	log image 'loaded'
}

# image_attempt: gets the layers and loads them. Tries again once if some of them were bad and can be fetched again, and each
# time the machine was restored from its saved state meanwhile.
image_attempt() {
	image_fetched=no image_tries=5
	while [ "$image_tries" -gt 0 ]; do
		image_tries=$((image_tries - 1))
		image_since=$(canary_restores)
		progress_say 0.003
		source_gather || {
			IMAGE_ERROR="layer $SOURCE_ERROR"
			# shellcheck disable=SC2034 # job.sh reads it
			IMAGE_LATER=$SOURCE_LATER
			return 1
		}
		image_sources && image_farm "$image_id" || return 1
		# Room comes from the sizes that layers claim, and damaged ones may claim anything.
		progress_say 0.008
		image_room && image_stream && image_present "$image_id" && return 0
		[ -n "$IMAGE_ERROR" ] || IMAGE_ERROR="Docker loaded another image than $image_id: config or layers do not belong together"
		image_blame
		canary_look
		if [ ! -s "$B2D_STATE/bad-layers" ] && [ "$(canary_restores)" != "$image_since" ]; then
			log image "$IMAGE_ERROR: once more, since the machine was restored meanwhile"
		elif [ "$image_fetched" = no ] && image_replace; then
			image_fetched=yes
			log image "$IMAGE_ERROR: fetching again"
		else
			return 1
		fi
		IMAGE_ERROR=
	done
	IMAGE_ERROR='the machine was restored from its saved state again and again while it loaded the image'
	return 1
}

# image_present ID: is it loaded? Sets IMAGE.
image_present() {
	for IMAGE in "$1" "$IMAGE_REPOSITORY:${1#sha256:}"; do
		docker_has_image "$IMAGE" && return 0
	done
	return 1
}

# image_config: finds the config and writes $B2D_STATE/config-file.
image_config() {
	read -r image_config_bytes <"$B2D_STATE/image-bytes" || return 1
	source_find "$image_id" "$image_config_bytes" || {
		IMAGE_ERROR="config $SOURCE_ERROR"
		return 1
	}
	# Docker names an image by its config but does not verify it, so we do.
	digest_verify "$image_id" "$SOURCE_FILE" || {
		IMAGE_ERROR="config $image_id is corrupt"
		return 1
	}
	# Load what was verified, whatever happens to the host's file.
	if ! cp "$SOURCE_FILE" "$B2D_STATE/config" || ! digest_verify "$image_id" "$B2D_STATE/config"; then
		IMAGE_ERROR="config $image_id cannot be kept"
		return 1
	fi
	printf '%s\n' "$B2D_STATE/config" >"$B2D_STATE/config-file"
}

# image_sources: finds the layers and writes $B2D_STATE/sources (lines of "digest bytes kind file", lowest first, each once).
image_sources() {
	: >"$B2D_STATE/sources"
	while read -r image_digest image_bytes _; do
		! grep -q "^$image_digest " "$B2D_STATE/sources" || continue
		source_find "$image_digest" "$image_bytes" || {
			IMAGE_ERROR="layer $SOURCE_ERROR"
			return 1
		}
		printf '%s %s %s %s\n' "$image_digest" "$image_bytes" "$SOURCE_KIND" "$SOURCE_FILE" >>"$B2D_STATE/sources"
	done <"$B2D_STATE/layers"
	log_mark image
}

# image_room: is there room for Docker's own copy of the archive and for the unpacked layers?
image_room() {
	image_need=0 image_refused=
	while read -r _ image_bytes _ image_file; do
		image_need=$((image_need + image_bytes / 1024 + $(image_unpacked_kb "$image_file" "$image_bytes")))
	done <"$B2D_STATE/sources"
	image_free=$(docker_free_kb) || return 0 # unknown: Docker will tell
	log image "$(grep -c . "$B2D_STATE/sources") layers, about $((image_need / 1024)) MB needed, $((image_free / 1024)) MB free"
	[ "$image_need" -lt "$image_free" ] && return 0
	image_refused=yes
	IMAGE_ERROR="it needs about $((image_need / 1024)) MB to be loaded but only $((image_free / 1024)) MB are free: the machine needs a (larger) data disk or more memory"
	return 1
}

# image_unpacked_kb FILE BYTES: prints how large the layer will be, in KB. gzip ends with its last member's size modulo 4 GB,
# used if it is possible; else, and for zstd, which need not say, the usual ratio.
image_unpacked_kb() {
	image_kb=$(($2 / 1024))
	image_tail=0
	case $(head -c 4 "$1" 2>/dev/null | od -An -tx1 | tr -d ' \n') in
	1f8b*) image_tail=$(tail -c 4 "$1" | od -An -tu1 | awk '{ print int(($1 + 256 * $2 + 65536 * $3 + 16777216 * $4) / 1024) }') ;;
	28b52ffd) ;;
	*) image_tail=$image_kb ;; # not compressed
	esac
	if [ "${image_tail:-0}" -ge "$image_kb" ]; then
		image_kb=$image_tail
	else
		image_kb=$((image_kb * 5 / 2))
	fi
	printf '%s\n' "$image_kb"
}

# image_farm ID: makes a directory of manifest.json and links to config and layers, named as `docker load` expects.
image_farm() {
	rm -rf "$B2D_RUN/load"
	mkdir -p "$B2D_RUN/load" || return 1
	image_hex=${1#sha256:}
	read -r image_file <"$B2D_STATE/config-file" && ln -s "$image_file" "$B2D_RUN/load/$image_hex.json" || return 1
	while read -r image_digest _ _ image_file; do
		ln -s "$image_file" "$B2D_RUN/load/${image_digest#sha256:}.tar" || return 1
	done <"$B2D_STATE/sources"
	image_layers=$(awk '{ printf "%s\"%s.tar\"", separator, substr($1, 8); separator = "," }' "$B2D_STATE/layers")
	printf '[{"Config":"%s.json","RepoTags":["%s:%s"],"Layers":[%s]}]\n' \
		"$image_hex" "$IMAGE_REPOSITORY" "$image_hex" "$image_layers" >"$B2D_RUN/load/manifest.json"
}

# image_stream: pipes the tar stream into `docker load`, and watches it. Fails with IMAGE_ERROR.
image_stream() {
	rm -f "$B2D_RUN/load.tar" "$B2D_RUN/load.watch"
	{
		(cd "$B2D_RUN/load" && tar -chf - manifest.json "$image_hex.json" ./*.tar) 2>"$B2D_RUN/load.tar-errors" ||
			: >"$B2D_RUN/load.tar"
	} | docker load -q >"$B2D_RUN/load.output" 2>&1 &
	image_loader=$!
	image_watch "$image_loader" </dev/null >/dev/null 2>&1 &
	image_watcher=$!
	wait "$image_loader"
	image_status=$?
	kill "$image_watcher" 2>/dev/null
	wait "$image_watcher" 2>/dev/null
	if [ -s "$B2D_RUN/load.watch" ]; then
		IMAGE_ERROR=$(cat "$B2D_RUN/load.watch")
	elif [ "$image_status" -ne 0 ]; then
		IMAGE_ERROR="docker load failed: $(tail -c 500 "$B2D_RUN/load.output")"
	elif [ -e "$B2D_RUN/load.tar" ]; then
		IMAGE_ERROR="reading the layers failed: $(tail -c 300 "$B2D_RUN/load.tar-errors")"
	else
		return 0
	fi
	return 1
}

# image_watch PID: ends a load that filled the disk or makes no progress; Docker itself might wait for ever.
image_watch() {
	trap - EXIT HUP INT TERM
	image_still=0 image_before=
	while kill -0 "$1" 2>/dev/null; do
		sleep 5
		image_now=$(docker_free_kb) || continue
		image_still=$((image_still + 5))
		[ "$image_now" = "$image_before" ] || image_still=0
		image_before=$image_now
		if [ "$image_now" -lt 1024 ]; then
			printf 'the disk of Docker is full: the machine needs a (larger) data disk or more memory' >"$B2D_RUN/load.watch"
		elif [ "$image_still" -ge "$B2D_LOAD_STALL" ]; then
			printf 'docker load made no progress for %s seconds' "$image_still" >"$B2D_RUN/load.watch"
		else
			continue
		fi
		kill "$1" 2>/dev/null
		return
	done
}

# image_blame: after a load that failed or had no room, writes the layers whose bytes are wrong to $B2D_STATE/bad-layers and
# names them in IMAGE_ERROR.
image_blame() {
	image_bad='' image_zstd=''
	: >"$B2D_STATE/bad-layers"
	while read -r image_digest _ _ image_file; do
		[ "$(head -c 4 "$image_file" 2>/dev/null | od -An -tx1 | tr -d ' \n')" != 28b52ffd ] || image_zstd=yes
		digest_verify "$image_digest" "$image_file" && continue
		image_bad="$image_bad $image_digest"
		printf '%s %s\n' "$image_digest" "$image_file" >>"$B2D_STATE/bad-layers"
	done <"$B2D_STATE/sources"
	if [ -n "$image_bad" ]; then
		IMAGE_ERROR="corrupt layer:$image_bad ($IMAGE_ERROR)"
	elif [ -n "$image_zstd" ] && [ -z "$image_refused" ]; then # Docker reads these from version 23 on
		IMAGE_ERROR="$IMAGE_ERROR; it has zstd layers, which this base may be too old for: submit it with --via boinc"
	fi
}

# image_replace: sets the bad layers aside, if all of them can be fetched again. Fails if not, or if none is bad.
image_replace() {
	[ -s "$B2D_STATE/bad-layers" ] || return 1
	while read -r image_digest image_file; do
		source_replace "$image_digest" "$image_file" || return 1
	done <"$B2D_STATE/bad-layers"
}
