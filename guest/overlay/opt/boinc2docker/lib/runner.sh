# shellcheck shell=sh
# shellcheck disable=SC2034 # results are variables: read by job.sh
# How a job runs in a machine of its own: the image's layers come into the store, Docker loads them, and runs a container.

for runner_part in bytes share registry seen progress canary event mount digest docker work store container budget lock beat part whole fetch gather source image; do
	# shellcheck disable=SC1090 # the agent's own files
	. "$B2D_HOME/lib/$runner_part.sh"
done

# runner_copy FILE TO: copies a file of the host's. Fails with RUNNER_ERROR.
runner_copy() {
	share_copy "$1" "$2" && return 0
	RUNNER_ERROR=$SHARE_ERROR
	return 1
}

# runner_prepare: makes the image ready. Fails with RUNNER_ERROR and RUNNER_LATER, the seconds after which it may work, 0 if never.
runner_prepare() {
	image_load && return 0
	RUNNER_ERROR="image $(cat "$B2D_STATE/image"): ${IMAGE_ERROR:-it could not be loaded}"
	RUNNER_LATER=$IMAGE_LATER
	return 1
}

# runner_run OPTION... -- WORD...: runs the container to its end; sets CONTAINER_EXIT and CONTAINER_MESSAGE.
runner_run() {
	container_run "$IMAGE" "$@"
}

# runner_close: gives back what the job holds of the host's store.
runner_close() {
	gather_close
}
