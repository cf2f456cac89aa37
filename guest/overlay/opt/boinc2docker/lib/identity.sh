# shellcheck shell=sh
# shellcheck disable=SC2034 # results are variables: read by the files that source this one
# Which agent on which base this is, from the identity the builder put beside the agent.

# identity_read: sets AGENT_VERSION and AGENT_BASE ("unknown" if the file does not say). Relies on the builder's layout: one
# member a line, indented by two blanks a level.
identity_read() {
	AGENT_VERSION=$(identity_value '^  "version": "')
	AGENT_BASE=$(identity_value '^  "base": "')
	[ "$AGENT_BASE" != unknown ] || AGENT_BASE=$(identity_value '^    "name": "')
}

# identity_value PATTERN: prints the string after the first match.
identity_value() {
	identity_found=$(sed -n "s/$1\([^\"]*\)\".*/\1/p" "$B2D_HOME/identity.json" 2>/dev/null | head -n 1)
	printf '%s\n' "${identity_found:-unknown}"
}
