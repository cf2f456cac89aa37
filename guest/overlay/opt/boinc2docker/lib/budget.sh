# shellcheck shell=sh
# shellcheck disable=SC2034 # results are variables: read by the files that source this one
# What may stay in the store: its budget, who uses which layers, and which are evicted first.
#
#   used/<hex>           "tick N", then names of the images that used the layer, the last user first
#   used/running.<vm>    a machine's mark: "beat N", padded so that it can be overwritten in place, then "<hex> <bytes>" for
#                        every layer that the machine uses or is going to fetch
#
# Ticks are the store's own clock: a job's tick is one more than the largest it finds. Machines' clocks differ, and
# modification times come from the host or from the machine, depending on the file system. Equal ticks do no harm.
#
# A mark protects its layers until it has stood still for 60 s. A machine that evicts a layer first takes it away (by renaming
# it to a name of its own), then looks for marks; a machine that needs a layer first writes its mark, then looks for the layer.
# So one of the two sees the other, in whatever order things happen.

BUDGET_NAMES=8 # images remembered for a layer
BUDGET_BEAT=48 # bytes of a mark's first line

# budget_bytes: prints how much the store may hold: STORE_BUDGET_MB of the site, else 10 GB.
budget_bytes() {
	budget_mb=${SITE_STORE_BUDGET_MB:-10000}
	case $budget_mb in *[!0-9]* | ??????????*) budget_mb=10000 ;; esac
	budget_mb=${budget_mb#"${budget_mb%%[!0]*}"} # a leading zero would make it octal
	printf '%s\n' "$((${budget_mb:-0} * 1000000))"
}

# budget_mark WRITER: writes this machine's mark from $B2D_RUN/store-running. WRITER tells apart the two processes that do.
budget_mark() {
	budget_beats=$((${budget_beats:-0} + 1))
	uptime_now
	budget_beat="beat $1 $budget_beats $UPTIME"
	budget_file=$STORE_HOST/used/running.$STORE_VM
	# As long as the mark names the right layers, a beat is a new first line.
	share_overwrite "$budget_file" "$budget_beat" "$BUDGET_BEAT" &&
		tail -n +2 "$budget_file" 2>/dev/null | cmp -s - "$B2D_RUN/store-running" && return 0
	{
		printf "%-$((BUDGET_BEAT - 1))s\n" "$budget_beat"
		cat "$B2D_RUN/store-running"
	} | share_write "$budget_file.$1.new" || return 1
	store_point "mark-$1"
	share_move "$budget_file.$1.new" "$budget_file"
}

# budget_unmark: removes this machine's mark. One that another program keeps open stays, and counts as a dead machine's.
budget_unmark() {
	budget_tries=5
	until rm -f "$STORE_HOST/used/running.$STORE_VM" "$STORE_HOST/used/running.$STORE_VM".*.new 2>/dev/null; do
		budget_tries=$((budget_tries - 1))
		[ "$budget_tries" -gt 0 ] || return 0
		store_rest
	done
}

# budget_look: looks at the other machines' marks and removes those of dead machines. Succeeds once it is sure of every mark:
# it has seen it change, or stand still for long enough.
budget_look() {
	budget_sure=yes
	for budget_file in "$STORE_HOST/used"/running.*; do
		case $budget_file in *.new | *'*' | "$STORE_HOST/used/running.$STORE_VM") continue ;; esac
		budget_seen=$(head -c 256 "$budget_file" 2>/dev/null | sha256sum) || return 1
		budget_seen=${budget_seen%% *}
		if seen_still "${budget_file##*/}" "$budget_seen"; then
			rm -rf "$budget_file" "$budget_file".*.new 2>/dev/null || :
			continue
		fi
		budget_first=$B2D_RUN/seen/first.${budget_file##*/}
		if [ ! -f "$budget_first" ]; then
			printf '%s\n' "$budget_seen" >"$budget_first"
		fi
		[ "$(cat "$budget_first")" != "$budget_seen" ] || budget_sure=no
	done
	[ "$budget_sure" = yes ]
}

# budget_marks: prints "W hex bytes" for every layer that a machine has marked.
budget_marks() {
	for budget_file in "$STORE_HOST/used"/running.*; do
		case $budget_file in *.new) continue ;; esac
		[ ! -f "$budget_file" ] || head -c 65536 "$budget_file" 2>/dev/null
	done | awk 'NF == 2 && length($1) == 64 && $1 !~ /[^0-9a-f]/ && $2 ~ /^[0-9]+$/ { print "W", $1, $2 }'
}

# budget_marked HEX: does any machine need this layer?
budget_marked() {
	budget_marks | grep -q "^W $1 "
}

# budget_sizes LETTER DIRECTORY: prints "LETTER name bytes" for every file in there.
budget_sizes() {
	# shellcheck disable=SC2012 # one process for all files; no machine makes names that are not plain
	ls -lnA "$STORE_HOST/$2" 2>/dev/null | awk -v letter="$1" 'NF >= 9 { print letter, $9, $5 }'
}

# budget_ticks: prints "T hex tick" for every layer that has been used.
budget_ticks() {
	set --
	for budget_file in "$STORE_HOST/used"/*; do
		case ${budget_file##*/} in *[!0-9a-f]*) continue ;; esac
		[ ! -f "$budget_file" ] || set -- "$@" "$budget_file"
	done
	[ "$#" -gt 0 ] || return 0
	# With two files or more, head prints each name before the content.
	head -c 32 /dev/null "$@" 2>/dev/null | tr -d '\000' | awk '
		$1 == "==>" && NF == 3 { name = $2; sub(/.*\//, "", name) }
		$1 == "tick" && NF == 2 && length($2) <= 15 && $2 !~ /[^0-9]/ && name != "" { print "T", name, $2; name = "" }'
}

# budget_plan: prints "total - BYTES" (all that is there, and what running machines are going to fetch), then what could be
# removed, in that order: "corrupt NAME BYTES", "partial NAME BYTES", "layer NAME BYTES".
budget_plan() {
	{
		budget_marks
		budget_ticks
		budget_sizes C corrupt
		budget_sizes D partial
		budget_sizes L layers/sha256
	} | LC_ALL=C awk '
		$1 == "W" { if (!($2 in wanted)) { wanted[$2] = $3; total += $3 } }
		$1 == "T" { tick[$2] = $3 }
		$1 == "C" { total += $3; print "0 0 corrupt", $2, $3 }
		$1 == "D" && $2 !~ /^probe\./ { # a probe belongs to a machine that has just started
			hex = $2
			sub(/\..*/, "", hex)
			# A download that a machine is going to finish is already counted.
			if (!(hex in wanted)) { total += $3; print "1 0 partial", $2, $3 }
		}
		$1 == "L" && !($2 in wanted) { total += $3; print "2", tick[$2] + 0, "layer", $2, $3 }
		END { printf "- - total - %.0f\n", total }' |
		sort -k 1,1 -k 2,2n -k 4,4 | awk '{ print $3, $4, $5 }'
}

# budget_keep: evicts until the store is within its budget. Fails if all that is left is in use or about to be fetched.
budget_keep() {
	budget_evict && return 0
	# Dead machines' marks may be in the way. To be sure takes a minute, once for each of them.
	budget_tries=0
	until budget_look; do
		[ "$budget_tries" -gt 0 ] || log store 'over its budget: checking which machines still run'
		budget_tries=$((budget_tries + 1))
		[ "$budget_tries" -le 40 ] || break
		store_pause 5
	done
	budget_evict
}

# budget_evict: makes one pass; fails if the store is still over its budget.
budget_evict() {
	budget_plan >"$B2D_RUN/store-plan"
	read -r _ _ budget_total <"$B2D_RUN/store-plan" || return 0
	budget_limit=$(budget_bytes)
	[ "$budget_total" -gt "$budget_limit" ] || return 0
	while read -r budget_kind budget_name budget_size; do
		[ "$budget_total" -gt "$budget_limit" ] || break
		case $budget_kind in
		corrupt | partial)
			rm -rf "${STORE_HOST:?}/$budget_kind/$budget_name" 2>/dev/null || continue
			log store "removed $budget_kind $(event_digest "$budget_name") ($(bytes_mb "$budget_size"))"
			;;
		layer) budget_remove "$budget_name" || continue ;;
		*) continue ;;
		esac
		budget_total=$((budget_total - budget_size))
	done <"$B2D_RUN/store-plan"
	[ "$budget_total" -le "$budget_limit" ]
}

# budget_remove HEX: removes a layer that no machine uses. Fails if one does after all.
budget_remove() {
	store_point evict
	budget_away=$STORE_HOST/partial/$1.$STORE_VM
	rm -rf "$budget_away"
	mv -f "$STORE_HOST/layers/sha256/$1" "$budget_away" 2>/dev/null || return 1
	store_point evict-moved
	if budget_marked "$1"; then
		share_move "$budget_away" "$STORE_HOST/layers/sha256/$1"
		return 1
	fi
	store_point evict-sure
	rm -rf "$budget_away" "$STORE_HOST/used/$1"
	log store "removed $(event_digest "$1") ($(bytes_mb "${budget_size:-0}")), least recently used"
}

# budget_used NAME HEX...: notes that this image used these layers now.
budget_used() {
	budget_image=$(printf '%.200s' "$1" | tr -cd '\041-\176')
	shift
	budget_tick=$(($(budget_ticks | awk '$3 > most { most = $3 } END { printf "%.0f", most }') + 1))
	for budget_hex in "$@"; do
		budget_file=$STORE_HOST/used/$budget_hex
		if [ -d "$budget_file" ] || [ -L "$budget_file" ]; then
			rm -rf "$budget_file"
		fi
		{
			printf 'tick %s\n%s\n' "$budget_tick" "$budget_image"
			# Keeps the lines that can be names: printable, without spaces, not too long.
			[ ! -f "$budget_file" ] || head -c 4096 "$budget_file" | tr -d '\000' | awk -v image="$budget_image" -v most="$BUDGET_NAMES" '
				NF == 1 && $0 != image && length($0) <= 200 && $0 !~ /[^!-~]/ && ++count < most'
		} 2>/dev/null >"$B2D_RUN/store-used"
		# Without a rename, which might have to wait at every layer. A machine that reads it meanwhile takes the layer for an
		# old one; this machine's mark protects it.
		share_write "$budget_file" <"$B2D_RUN/store-used" || :
	done
}
