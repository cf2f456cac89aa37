#!/bin/sh
# boot2docker up to 18.06 knows only this hook, newer ones run both; /opt/bootlocal.sh starts the agent once.
exec /opt/bootlocal.sh
