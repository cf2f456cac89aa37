# shellcheck shell=sh
# shellcheck disable=SC2034 # results are variables: read by the files that source this one
# The volunteer's own proxy, for the image store's requests. BOINC's client writes it into each task's init_data.xml, and
# vboxwrapper copies that file into the share (copy_to_shared) at each start at which it is not there.
#
# The file also holds the account's authenticator, so the caller removes it in any case. Only the proxy's host and port are
# logged; user and password appear in no list of processes, file or container.
#
# Format, BOINC at c5c6cb7 (2026): lib/app_ipc.cpp, write_init_data_file() has <proxy_info> if either server has a name,
# after the project's own <project_preferences>; lib/proxy_info.cpp, PROXY_INFO::write(), an element a line:
#     <use_http_proxy/> <use_socks_proxy/> <use_http_auth/>                      each only if true
#     <http_server_name> <http_server_port> <http_user_name> <http_user_passwd>
#     <socks_server_name> <socks_server_port> <socks5_user_name> <socks5_user_passwd> <socks5_remote_dns>
#     <no_proxy>                                                                 hosts, between commas
# Only users and passwords are escaped (lib/parse.cpp, xml_escape(): &lt; &amp; ]]&gt; and &#N; for the bytes 9, 10, 13 and
# above 127). A name remains when its box in the Manager is unticked, so the use_… elements decide, HTTP before SOCKS, as in
# client/http_curl.cpp, setup_proxy_session(). A proxy that Windows detects by itself is not in the file.

PROXY_MOST=1048576       # bytes to read of the file
PROXY_THIS_HOST=10.0.2.2 # the host's own loopback, as VirtualBox' and QEMU's NAT show it

# proxy_read FILE: sets PROXY_HTTP (URL with scheme, percent-encoded user and password, host and port), PROXY_NO (hosts
# separated by commas) and PROXY_SHOWN (host:port). Fails if there is no proxy, or with PROXY_ERROR if it cannot be used.
proxy_read() {
	PROXY_HTTP='' PROXY_NO='' PROXY_SHOWN='' PROXY_ERROR=''
	[ -f "$1" ] && [ ! -L "$1" ] || return 1
	proxy_found=$(head -c "$PROXY_MOST" "$1" 2>/dev/null | tr -d '\000\r' | proxy_parse 2>/dev/null)
	case $proxy_found in
	*' '*' '*) ;;
	'') return 1 ;;
	*)
		PROXY_ERROR="the volunteer's proxy is not used: its $proxy_found cannot be understood"
		return 1
		;;
	esac
	PROXY_HTTP=${proxy_found%% *} proxy_found=${proxy_found#* }
	PROXY_SHOWN=${proxy_found%% *} PROXY_NO=${proxy_found#* }
	proxy_found=
}

# proxy_apply: uses the volunteer's proxy where the project set none. Comes after proxy_read and site_settings.
proxy_apply() {
	[ -z "$PROXY_ERROR" ] || log boot "$PROXY_ERROR"
	[ -n "$PROXY_HTTP" ] || return 0
	[ -z "${SITE_HTTP_PROXY:-}" ] || [ -z "${SITE_HTTPS_PROXY:-}" ] || return 0
	export SITE_HTTP_PROXY="${SITE_HTTP_PROXY:-$PROXY_HTTP}" SITE_HTTPS_PROXY="${SITE_HTTPS_PROXY:-$PROXY_HTTP}"
	export SITE_NO_PROXY="${SITE_NO_PROXY:-$PROXY_NO}"
	log boot "the volunteer's proxy $PROXY_SHOWN is used"
}

# proxy_parse: reads init_data.xml; prints "URL HOST:PORT HOSTS", or the word for what is wrong with the proxy, or nothing.
proxy_parse() {
	awk -v this_host="$PROXY_THIS_HOST" '
		# An element without content is kept as "<", which no text can hold.
		function on(name) { return (name in set) && (set[name] == "<" || set[name] + 0 != 0) }
		function text(name) { return (name in set) && set[name] != "<" ? set[name] : "" }
		function trimmed(word) { gsub(/^[ \t]+|[ \t]+$/, "", word); return tolower(word) }
		function byte(code) {
			if (code > 32 && code < 127 && sprintf("%c", code) ~ /[A-Za-z0-9._~-]/) return sprintf("%c", code)
			return sprintf("%%%02X", code)
		}
		# encoded(word): unescaped as XML, escaped as part of a URL (RFC 3986, 2.1).
		function encoded(word,   out, at, end, name, code) {
			out = ""
			for (at = 1; at <= length(word); at++) {
				code = number[substr(word, at, 1)]
				end = code == 38 ? index(substr(word, at, 8), ";") : 0
				if (end > 2) {
					name = substr(word, at + 1, end - 2)
					if (name in entity) { code = entity[name]; at += end - 1 }
					else if (name ~ /^#[0-9]+$/ && substr(name, 2) + 0 >= 1 && substr(name, 2) + 0 <= 255) {
						code = substr(name, 2) + 0
						at += end - 1
					}
				}
				out = out byte(code)
			}
			return out
		}
		# server(): of the kind "http" or "socks", sets scheme, host and port; returns what is wrong, or nothing.
		function server(kind,   word) {
			host = trimmed(text(kind "_server_name"))
			port = trimmed(text(kind "_server_port"))
			if (match(host, /^[a-z0-9]+:\/\//)) {
				scheme = substr(host, 1, RLENGTH - 3)
				host = substr(host, RLENGTH + 1)
				if (scheme !~ /^(https?|socks5h?)$/) return "scheme"
			}
			sub(/\/+$/, "", host)
			if (host ~ /^[^:]+:[0-9]+$/) { port = host; sub(/:.*/, "", host); sub(/.*:/, "", port) }
			if (length(host) > 255) return "name"
			if (host ~ /^(localhost|127\.[0-9.]+|0\.0\.0\.0|\[?::1\]?)$/) host = this_host
			if (host ~ /^\[?[0-9a-f.]*:[0-9a-f.]*:[0-9a-f:.]*\]?$/) { gsub(/[][]/, "", host); host = "[" host "]" }
			else if (host !~ /^[a-z0-9_]([a-z0-9._-]*[a-z0-9_.])?$/) return "name"
			if (port == "" || port ~ /^0+$/) port = kind == "http" ? 80 : 1080
			if (port !~ /^[0-9]+$/ || length(port) > 5 || port + 0 > 65535) return "port"
			port += 0
			return ""
		}
		# account(user, password): sets login; returns what is wrong, or nothing.
		function account(user, password) {
			login = ""
			if (user == "" && password == "") return ""
			if (length(user) > 2048) return "user"
			if (length(password) > 2048) return "password"
			login = encoded(user) ":" encoded(password) "@"
			return ""
		}
		# exceptions(list): the hosts among them, as curl and Go write them.
		function exceptions(list,   out, i, n, word, part) {
			out = ""
			n = split(tolower(substr(list, 1, 2048)), part, /[ \t,;]+/)
			for (i = 1; i <= n; i++) {
				word = part[i]
				sub(/^[a-z]+:\/\//, "", word)
				if (word !~ /^[0-9.]+\/[0-9]+$/) sub(/\/.*/, "", word)
				sub(/:[0-9]*$/, "", word)
				sub(/^\*\./, ".", word)
				if (word ~ /^[a-z0-9._-]+(\/[0-9]+)?$/) out = out (out == "" ? "" : ",") word
			}
			return out
		}
		BEGIN {
			for (i = 1; i < 256; i++) number[sprintf("%c", i)] = i
			entity["lt"] = 60; entity["gt"] = 62; entity["amp"] = 38; entity["quot"] = 34; entity["apos"] = 39
		}
		/^[ \t]*<project_preferences>/ { foreign = 1 }
		/<\/project_preferences>/ { foreign = 0; next }
		foreign || done { next }
		/^[ \t]*<proxy_info>/ { inside = 1; next }
		inside && /^[ \t]*<\/proxy_info>/ { done = 1; next }
		inside {
			line = $0
			sub(/^[ \t]+/, "", line)
			if (match(line, /^<[a-z0-9_]+\/>/)) set[substr(line, 2, RLENGTH - 3)] = "<"
			else if (match(line, /^<[a-z0-9_]+>/)) {
				name = substr(line, 2, RLENGTH - 2)
				line = substr(line, RLENGTH + 1)
				end = index(line, "</" name ">")
				if (end > 0) set[name] = substr(line, 1, end - 1)
			}
		}
		END {
			if (!done) exit
			if (on("use_http_proxy") && text("http_server_name") != "") {
				scheme = "http"
				wrong = server("http")
				if (wrong == "" && on("use_http_auth")) wrong = account(text("http_user_name"), text("http_user_passwd"))
			} else if (on("use_socks_proxy") && text("socks_server_name") != "") {
				scheme = on("socks5_remote_dns") ? "socks5h" : "socks5"
				wrong = server("socks")
				if (wrong == "") wrong = account(text("socks5_user_name"), text("socks5_user_passwd"))
			} else exit
			if (wrong != "") print wrong
			else print scheme "://" login host ":" port " " host ":" port " " exceptions(text("no_proxy"))
		}'
}
