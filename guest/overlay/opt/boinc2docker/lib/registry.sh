# shellcheck shell=sh
# shellcheck disable=SC2034 # results are variables: read by the files that source this one
# One request to a registry: GET a blob, or a part of it, by its digest (OCI distribution specification 1.1, "Pulling
# blobs"; RFC 9110, 14 for ranges). Trusts only the status line and the range: bytes are verified later.

# registry_get URL TOKEN-URL FILE MOST [FIRST LAST]: gets at most MOST bytes into FILE, or asks for the part FIRST-LAST. For a
# FILE of "|NAME" it pipes them to the function NAME MOST, which may stop reading. Returns curl's status: 0 if there was an
# answer and all of it came. Sets, from the answer of the registry or of a token server that failed: REGISTRY_STATUS (0: no
# answer), REGISTRY_RANGE ("FIRST LAST TOTAL" or empty), REGISTRY_LENGTH (bytes announced, or empty), REGISTRY_AFTER (seconds to
# wait before the next request, or empty) and REGISTRY_ERROR.
registry_get() {
	registry_token=
	registry_name=$(printf '%s' "$2" | sha256sum)
	[ -z "$2" ] || registry_token=$B2D_RUN/token.${registry_name%% *}
	registry_curl "$@"
	registry_done=$?
	if [ "$REGISTRY_STATUS" -eq 401 ] && [ -n "$2" ]; then
		if registry_login "$2"; then
			registry_curl "$@"
			registry_done=$?
		else
			registry_done=$registry_code
		fi
	fi
	return "$registry_done"
}

# registry_curl URL TOKEN-URL FILE MOST [FIRST LAST]: as registry_get, with the token it has, if any.
registry_curl() {
	rm -f "$B2D_RUN/curl.headers" "$B2D_RUN/curl.error"
	: >"$B2D_RUN/curl.config"
	[ ! -s "$registry_token" ] || cat "$registry_token" >"$B2D_RUN/curl.config"
	case $3 in
	'|'*)
		{
			registry_program "$4" -D "$B2D_RUN/curl.headers" "$1"
			printf '%s\n' "$?" >"$B2D_RUN/curl.status"
		} | "${3#?}" "$4"
		read -r registry_code <"$B2D_RUN/curl.status"
		;;
	*)
		: >"$3"
		registry_program "$4" -D "$B2D_RUN/curl.headers" ${5+-r "$5-$6"} -o "$3" "$1"
		registry_code=$?
		;;
	esac
	registry_answer
	return "$registry_code"
}

# registry_program MOST WORD...: runs curl, patient with slow servers but not with silent ones. The token is in a file, not in
# the list of processes; curl itself withholds it from another host after a redirection.
registry_program() (
	registry_most=$1
	shift
	# For an old curl, which limits only what a server announces. Blocks are 512 bytes, or 1024 in some shells.
	ulimit -f "$((registry_most / 512 + 256))" 2>/dev/null
	[ -z "${SITE_HTTP_PROXY:-}" ] || export http_proxy="$SITE_HTTP_PROXY"
	[ -z "${SITE_HTTPS_PROXY:-}" ] || export https_proxy="$SITE_HTTPS_PROXY"
	[ -z "${SITE_NO_PROXY:-}" ] || export no_proxy="$SITE_NO_PROXY"
	# A proxy with an account may want Digest or NTLM, which BOINC's client allows; by default curl tries only Basic.
	case ${SITE_HTTP_PROXY:-}${SITE_HTTPS_PROXY:-} in *@*) set -- --proxy-anyauth "$@" ;; esac
	exec curl -q -sS -L --proto '=http,https' --max-redirs 5 --max-filesize "$registry_most" \
		--connect-timeout "$B2D_CONNECT_SECONDS" \
		--speed-limit 500 --speed-time "$B2D_STALL_SECONDS" -A boinc2docker -K "$B2D_RUN/curl.config" "$@" \
		</dev/null 2>"$B2D_RUN/curl.error"
)

# registry_answer: reads what the last answer said and, if $registry_code is not 0, why not all of it came.
registry_answer() {
	registry_headers
	REGISTRY_ERROR="HTTP status $REGISTRY_STATUS"
	[ "$registry_code" -ne 0 ] || return 0
	registry_said=$(tail -n 1 "$B2D_RUN/curl.error" 2>/dev/null | tr -cd '\040-\176')
	[ "$REGISTRY_STATUS" -ge 400 ] || REGISTRY_ERROR=${registry_said:-curl failed with $registry_code}
	REGISTRY_ERROR=${REGISTRY_ERROR#curl: }
}

# registry_headers: reads the last answer's headers, after redirections.
registry_headers() {
	REGISTRY_STATUS=0 REGISTRY_RANGE='' REGISTRY_LENGTH='' REGISTRY_AFTER=''
	[ -s "$B2D_RUN/curl.headers" ] || return 0
	# shellcheck disable=SC2046 # four words of digits, slashes and dashes
	set -- $(head -c 65536 "$B2D_RUN/curl.headers" | tr -d '\000\r' | awk '
		function number(text) { return text ~ /^[0-9]+$/ && length(text) < 16 }
		/^HTTP\// { status = number($2) ? $2 : 0; range = "-"; size = "-"; after = "-" }
		tolower($1) == "content-range:" && tolower($2) == "bytes" {
			split($3, part, /[-\/]/)
			if (part[3] == "*") part[3] = 0
			if (number(part[1]) && number(part[2]) && number(part[3])) range = part[1] "/" part[2] "/" part[3]
		}
		tolower($1) == "content-length:" { size = number($2) ? sprintf("%.0f", $2) : "-" }
		tolower($1) == "retry-after:" { after = number($2) ? sprintf("%.0f", $2) : 60 }
		END { print status + 0, range == "" ? "-" : range, size == "" ? "-" : size, after == "" ? "-" : after }')
	REGISTRY_STATUS=$1
	[ "$2" = - ] || REGISTRY_RANGE=$(printf '%s' "$2" | tr / ' ')
	[ "$3" = - ] || REGISTRY_LENGTH=$3
	[ "$4" = - ] || REGISTRY_AFTER=$4
}

# registry_login TOKEN-URL: gets an anonymous token, to be used until the registry refuses it. Fails with the token server's
# answer, set as registry_get does; with the registry's own if a good answer holds no token.
registry_login() {
	rm -f "$registry_token" "$B2D_RUN/curl.headers"
	: >"$B2D_RUN/curl.config"
	registry_program 1000000 -f -m 120 -D "$B2D_RUN/curl.headers" -o "$B2D_RUN/token.json" "$1"
	registry_code=$?
	if [ "$registry_code" -ne 0 ]; then
		registry_answer
		REGISTRY_ERROR="token: $REGISTRY_ERROR" REGISTRY_RANGE=
		# The file holds the registry's refusal, which must not look like a good answer.
		[ "$REGISTRY_STATUS" -ge 300 ] || REGISTRY_STATUS=0
		return 1
	fi
	registry_word=$(head -c 1000000 "$B2D_RUN/token.json" | tr -d '\000\n' |
		sed -n 's/.*"\(token\|access_token\)" *: *"\([^"]*\)".*/\2/p')
	# A bearer token's characters, RFC 6750, 2.1: nothing that curl's configuration could misread.
	case $registry_word in '' | *[!A-Za-z0-9._~+/=-]*) return 1 ;; esac
	(umask 077 && printf 'header = "Authorization: Bearer %s"\n' "$registry_word" >"$registry_token")
}

# registry_host URL: prints its host, for messages.
registry_host() {
	registry_rest=${1#*://} registry_rest=${registry_rest%%/*}
	printf '%s\n' "${registry_rest##*@}"
}

# registry_judge CURL-STATUS: can the last request, which brought no bytes of the layer, succeed later? Returns FETCH_NEVER
# or FETCH_AGAIN. Sets FETCH_REASON where the HTTP status is the surprise.
registry_judge() {
	case $REGISTRY_STATUS in
	0 | 408 | 425 | 429 | 5??) return "$FETCH_AGAIN" ;;
	1?? | 2?? | 3??)
		# A redirection or a proxy answered and the server behind it did not, unless curl itself gave up on the address or
		# the answer.
		case $1 in
		"$CURL_DONE" | "$CURL_PROTOCOL" | "$CURL_URL" | "$CURL_REDIRECTS" | "$CURL_LARGE") ;;
		*) return "$FETCH_AGAIN" ;;
		esac
		;;
	esac
	case $REGISTRY_STATUS in
	2?? | 1??) FETCH_REASON="unexpected HTTP status $REGISTRY_STATUS" ;;
	esac
	return "$FETCH_NEVER"
}
