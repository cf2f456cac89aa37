# shellcheck shell=sh
# Where everything is. Each name can be set by the environment: the tests run the real code on directories of their own.
#
# The host's directories are the agent's alone: the job and its container work in a directory of the machine's own disk.

: "${B2D_HOME:=/opt/boinc2docker}"          # this overlay
: "${B2D_SHARE:=/mnt/b2d-share}"            # the task's own directory on the host; rules of use: share.sh
: "${B2D_SCRATCH:=/mnt/b2d-scratch}"        # the project's directory on the host, shared by its tasks
: "${B2D_WORK:=/mnt/b2d-work}"              # this machine's own disk, or memory: job/ and agent/
: "${B2D_JOB:=/root/shared}"                # the job's directory: $B2D_WORK/job, as the job and its container see it
: "${B2D_KEEP:=$B2D_WORK/agent}"            # what the agent has to know after a restart; no container reaches it
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
: "${B2D_DOCKER_WAIT:=600}"                 # seconds until a silent Docker is given up
: "${B2D_DOCKER_CALL:=300}"                 # seconds that one question to Docker may take
: "${B2D_SHARE_SECONDS:=60}"                # seconds that one write to the host may take; vboxsf repeats a refused one for ever
: "${B2D_MOVE_SECONDS:=60}"                 # how long a rename on the host is tried: scanners hold new files on Windows
: "${B2D_ROOM_SECONDS:=600}"                # how long a full disk of the host is waited for
: "${B2D_PIECE_MB:=16}"                     # of a large file: copied to or from the host at once
: "${B2D_LOAD_STALL:=900}"                  # seconds without progress until loading an image is given up
: "${B2D_HEARTBEAT_SECONDS:=15}"            # how often the heartbeat file is rewritten
: "${B2D_POSTPONED_SECONDS:=120}"           # until a machine that was asked to go off takes itself for restored
: "${B2D_RETRY_SECONDS:=5}"                 # pause between attempts at something that may come
: "${B2D_OUTPUT_BYTES:=1048576}"            # of a container's output: this much of its start and of its end is kept
: "${B2D_BEAT_SECONDS:=15}"                 # how often locks and marks in the store show that this machine lives
: "${B2D_CHUNK_BYTES:=8388608}"             # of a layer: fetched at once, and lost at most by a power cut
: "${B2D_CONNECT_SECONDS:=20}"              # until a server that does not answer is given up
: "${B2D_STALL_SECONDS:=30}"                # until a server that went silent is given up
: "${B2D_FETCH_TRIES:=5}"                   # attempts at one server that fail one after another
: "${B2D_FETCH_PAUSE:=1}"                   # seconds; twice of it after the first failure, four times after the second, ...
: "${B2D_BOOTED:=$B2D_PROC/uptime}"         # first word: seconds since power-on

: "${B2D_MOUNT:=mount}" # a plain name: some busybox shells take their own applet then, whatever PATH says
: "${B2D_MODPROBE:=modprobe}"

# The real tools first: busybox has applets of the same names that lack options used here.
PATH=${B2D_PATH:-/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin}
# Bytes are bytes: sorting, lengths and patterns must not depend on a locale.
LC_ALL=C
export PATH LC_ALL B2D_HOME
umask 022
