# shellcheck shell=sh
# Writing JSON from any bytes.

# json_string: prints stdin as one JSON string, in ASCII. Bytes that are not UTF-8 become U+FFFD, one for each maximal subpart
# of a sequence (Unicode 15, 3.9, "substitution of maximal subparts"; table 3-7 gives the ranges). Works on numbers, since
# shells and some awks cannot hold a NUL.
json_string() {
	od -An -v -tu1 | awk '
		function unit(code) { printf "\\u%04x", code }
		function put(code) {
			if (code == 34 || code == 92) printf "\\%c", code
			else if (code >= 32 && code < 127) printf "%c", code
			else if (code < 65536) unit(code)
			else { code -= 65536; unit(55296 + int(code / 1024)); unit(56320 + code % 1024) }
		}
		function begin(byte) {
			low = 128; high = 191
			if (byte < 128) put(byte)
			else if (byte >= 194 && byte <= 223) { wanted = 1; value = byte - 192 }
			else if (byte >= 224 && byte <= 239) {
				wanted = 2; value = byte - 224
				if (byte == 224) low = 160
				if (byte == 237) high = 159
			} else if (byte >= 240 && byte <= 244) {
				wanted = 3; value = byte - 240
				if (byte == 240) low = 144
				if (byte == 244) high = 143
			} else put(65533)
		}
		function take(byte) {
			if (wanted == 0) { begin(byte); return }
			if (byte < low || byte > high) { wanted = 0; put(65533); begin(byte); return }
			value = value * 64 + byte - 128
			low = 128; high = 191
			if (--wanted == 0) put(value)
		}
		BEGIN { printf "\"" }
		{ for (i = 1; i <= NF; i++) take($i + 0) }
		END { if (wanted) put(65533); printf "\"" }'
}

# json_text TEXT: prints TEXT as a JSON string.
json_text() {
	printf '%s' "$1" | json_string
}

# json_number TEXT: prints TEXT if it is a non-negative decimal number, else null.
json_number() {
	printf '%s\n' "$1" | awk 'NR == 1 && /^[0-9]+(\.[0-9]+)?$/ { sub(/^0+/, ""); sub(/^$/, "0"); sub(/^\./, "0."); number = $0 }
		END { printf "%s", number == "" ? "null" : number }'
}
