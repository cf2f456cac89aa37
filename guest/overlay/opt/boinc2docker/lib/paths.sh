# shellcheck shell=sh
# Where everything is. The environment can set each name: tests run the real code on directories of their own.
#
# Only the agent uses the host's directories. The job and its container work in a directory on the machine's own disk.

: "${B2D_HOME:=/opt/boinc2docker}"          # this overlay
: "${B2D_SHARE:=/mnt/b2d-share}"            # the task's own directory on the host; rules of use: share.sh
: "${B2D_SCRATCH:=/mnt/b2d-scratch}"        # the project's directory on the host, shared by its tasks
: "${B2D_WORK:=/mnt/b2d-work}"              # this machine's own disk, or memory: job/ and agent/
: "${B2D_JOB:=/root/shared}"                # the job's directory: $B2D_WORK/job, as the job and its container see it
: "${B2D_KEEP:=$B2D_WORK/agent}"            # what the agent must remember after a restart; no container can reach it
: "${B2D_RUN:=/run/boinc2docker}"           # state of this boot; gone with the power
: "${B2D_STATE:=$B2D_RUN/job}"              # what the job's functions tell the agent
: "${B2D_LOG:=/var/log/boinc2docker.log}"   # the agent's log
: "${B2D_CONSOLE:=/dev/console}"            # events are shown here
: "${B2D_GUESTLOG:=$B2D_HOME/bin/guestlog}" # stdin -> the hypervisor's log
: "${B2D_STREAM:=$B2D_HOME/bin/stream}"     # stdin -> stdout and, in the machine of `boinc2docker run`, its terminal
: "${B2D_PROC:=/proc}"                      # kernel state
: "${B2D_SYS:=/sys}"                        # devices, as the kernel describes them
: "${B2D_DEV:=/dev}"                        # device nodes
: "${B2D_ROOT:=}"                           # prefix of the machine's own files (/etc, /var/lib/docker, ...)
: "${B2D_DOCKER_DATA:=/var/lib/docker}"     # where Docker unpacks images
: "${B2D_SOCKET:=/var/run/docker.sock}"     # where Docker answers
: "${B2D_DATA_MOUNT:=/mnt/b2d-data}"        # the data disk
: "${B2D_DOCKER_WAIT:=600}"                 # seconds to wait for Docker
: "${B2D_DOCKER_CALL:=300}"                 # seconds for one call to Docker
: "${B2D_SHARE_SECONDS:=60}"                # seconds for one write to the host; vboxsf retries a refused one for ever
: "${B2D_MOVE_SECONDS:=60}"                 # seconds to retry a rename on the host: on Windows scanners hold new files
: "${B2D_ROOM_SECONDS:=600}"                # seconds to wait for room on the host's disk
: "${B2D_PIECE_MB:=16}"                     # copied at once of a large file, to or from the host
: "${B2D_LOAD_STALL:=900}"                  # seconds without progress before loading an image is given up
: "${B2D_HEARTBEAT_SECONDS:=15}"            # between two rewrites of the heartbeat file
: "${B2D_POSTPONED_SECONDS:=120}"           # before a machine that asked to be switched off concludes that it was restored
: "${B2D_RETRY_SECONDS:=5}"                 # between attempts
: "${B2D_OUTPUT_BYTES:=1048576}"            # kept of the start of a container's output, and of its end
: "${B2D_BEAT_SECONDS:=15}"                 # between two signs of life in the store: of locks and marks
: "${B2D_CHUNK_BYTES:=8388608}"             # fetched at once of a layer; a power cut loses no more
: "${B2D_CONNECT_SECONDS:=20}"              # before a server that does not answer is given up
: "${B2D_STALL_SECONDS:=30}"                # before a server that went silent is given up
: "${B2D_FETCH_TRIES:=5}"                   # failures in a row before a server is given up
: "${B2D_FETCH_PAUSE:=1}"                   # seconds; doubled after each failure in a row
: "${B2D_BOOTED:=$B2D_PROC/uptime}"         # first word: seconds since power-on

: "${B2D_MOUNT:=mount}" # a plain name: some busybox shells then run their own applet, whatever PATH says
: "${B2D_MODPROBE:=modprobe}"

# The real tools first: busybox has applets of the same names that lack options used here.
PATH=${B2D_PATH:-/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin}
# Bytes are bytes: sorting, lengths and patterns must not depend on a locale.
LC_ALL=C
export PATH LC_ALL B2D_HOME
umask 022
