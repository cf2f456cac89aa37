# shellcheck shell=sh
# shellcheck disable=SC2034 # read by the files that source this one
# Names of the exit statuses that say more than yes or no.

# status_name: sets the names. Once: a boinc_app may source job.sh twice, and a constant cannot be set again.
status_name() {
	# How fetching a layer, or a part of it, ended.
	readonly FETCH_DONE=0      # what was asked for is there
	readonly FETCH_NEVER=1     # it cannot be had; the reason is in FETCH_ERROR or, of one server, in FETCH_REASON
	readonly FETCH_AGAIN=2     # another try may succeed; reasons as before
	readonly FETCH_LOST=3      # another machine has the lock now
	readonly FETCH_FULL=4      # the store cannot be written; the reason is in FETCH_ERROR
	readonly FETCH_NO_RANGES=5 # this server seems to send whole layers only, no ranges

	# What became of a stale lock.
	readonly LOCK_GONE=0  # it is free now
	readonly LOCK_STUCK=1 # the host does not let it be taken away
	readonly LOCK_ALIVE=2 # a living machine has it by now

	# curl's exit statuses that are told apart (curl(1), EXIT CODES).
	readonly CURL_DONE=0
	readonly CURL_PROTOCOL=1   # it does not speak the URL's protocol
	readonly CURL_URL=3        # that is no URL
	readonly CURL_WRITE=23     # what came could not be written
	readonly CURL_REDIRECTS=47 # too many of them
	readonly CURL_LARGE=63     # more bytes than were asked for

	readonly EXIT_TEMPORARY=75 # of a job that is to be started again later: sysexits.h, EX_TEMPFAIL
}

[ -n "${FETCH_DONE:-}" ] || status_name
