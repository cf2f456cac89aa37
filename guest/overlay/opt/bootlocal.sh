#!/bin/sh
# Starts the agent, once per boot, whoever calls this and how often. Returns at once.

: "${B2D_HOME:=/opt/boinc2docker}"
: "${B2D_RUN:=/run/boinc2docker}"
mkdir -p "$B2D_RUN" || exit 1
mkdir "$B2D_RUN/started" 2>/dev/null || exit 0 # somebody has: mkdir succeeds only once
"$B2D_HOME/agent" </dev/null >>"$B2D_RUN/agent.out" 2>&1 &
