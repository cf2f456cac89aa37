# shellcheck shell=sh
# A project's own settings and files, which `customize` puts into the ISO. Normally there are none.

SITE_KEYS='REGISTRY_MIRROR HTTP_PROXY HTTPS_PROXY NO_PROXY STORE_BUDGET_MB'
SITE_BUNDLES='/etc/ssl/certs/ca-certificates.crt /usr/local/etc/ssl/certs/ca-certificates.crt'

# site_settings: sets and exports SITE_<KEY> for every known key of site/settings (empty if not set). A shell of its own reads
# the file for each key, so that mistakes in it, and other names it sets, stay there.
site_settings() {
	for site_key in $SITE_KEYS; do
		site_value=
		if [ -f "$B2D_HOME/site/settings" ]; then
			site_value=$(site_value "$site_key" 2>/dev/null) || site_value=
		fi
		export "SITE_$site_key=$site_value"
	done
	if [ -f "$B2D_HOME/site/settings" ] && ! sh -n "$B2D_HOME/site/settings" 2>/dev/null; then
		log boot 'site settings: not readable by a shell, ignored'
	fi
}

# site_value KEY: prints the value site/settings gives to KEY.
site_value() {
	# shellcheck disable=SC2016 # expanded by the inner shell
	env -i PATH="$PATH" sh -c 'sh -n "$1" || exit 1; . "$1" >/dev/null; eval "printf %s \"\${$2:-}\""' \
		sh "$B2D_HOME/site/settings" "$1" </dev/null
}

# site_install: copies site/files to /, adds certificates and writes the engine's settings.
site_install() {
	site_settings
	if [ -d "$B2D_HOME/site/files" ]; then
		if site_copy_files; then
			log boot 'site files copied'
		else
			log boot 'site files: some could not be copied'
		fi
		site_certificates
	fi
	site_docker_mirror
	site_docker_environment
}

# site_copy_files: copies file by file, since copying a tree would change the modes of existing directories such as /etc.
site_copy_files() (
	cd "$B2D_HOME/site/files" || exit 1
	# shellcheck disable=SC2016 # expanded by the inner shell
	find . ! -type d -exec sh -c '
		root=$1 failed=0
		shift
		for path in "$@"; do
			mkdir -p "$root/${path%/*}" && cp -pP "$path" "$root/$path" || failed=1
		done
		exit "$failed"' sh "$B2D_ROOT" {} +
)

# site_certificates: adds files/etc/ssl/b2d/*.{crt,pem} to the system's bundles. Safe to repeat.
site_certificates() {
	for site_bundle in $SITE_BUNDLES; do
		site_bundle=$B2D_ROOT$site_bundle
		[ -f "$site_bundle" ] || continue
		[ -f "$site_bundle.b2d-base" ] || cp "$site_bundle" "$site_bundle.b2d-base" || return 1
		cp "$site_bundle.b2d-base" "$site_bundle.b2d-new" || return 1
		for site_file in "$B2D_ROOT"/etc/ssl/b2d/*.crt "$B2D_ROOT"/etc/ssl/b2d/*.pem; do
			[ -f "$site_file" ] || continue
			{ cat "$site_file" && printf '\n'; } >>"$site_bundle.b2d-new" || return 1
		done
		mv -f "$site_bundle.b2d-new" "$site_bundle" || return 1
	done
}

# site_docker_mirror: configures the registry mirrors of an engine that has not started and has no configuration of its own.
site_docker_mirror() {
	[ -n "$SITE_REGISTRY_MIRROR" ] || return 0
	if docker_started || [ -e "$B2D_ROOT/etc/docker/daemon.json" ]; then
		log boot 'registry mirror: Docker has its own configuration, only the image store uses the mirror'
		return 0
	fi
	mkdir -p "$B2D_ROOT/etc/docker" || return 1
	site_mirrors=
	for site_mirror in $SITE_REGISTRY_MIRROR; do
		site_mirrors="$site_mirrors${site_mirrors:+,}$(json_text "$site_mirror")"
	done
	printf '{"registry-mirrors":[%s]}\n' "$site_mirrors" >"$B2D_ROOT/etc/docker/daemon.json"
}

# site_docker_environment: writes proxy settings for the engine, as lines of export NAME='shell-quoted value': to
# $B2D_RUN/docker.env, which the debian base reads before it starts Docker, and on boot2docker to its profile.
site_docker_environment() {
	site_env=$B2D_RUN/docker.env
	: >"$site_env.new" || return 1
	for site_key in HTTP_PROXY HTTPS_PROXY NO_PROXY; do
		eval "site_value=\$SITE_$site_key"
		[ -z "$site_value" ] || printf 'export %s=%s\n' "$site_key" "$(site_quote "$site_value")" >>"$site_env.new" || return 1
	done
	mv -f "$site_env.new" "$site_env" || return 1
	[ -s "$site_env" ] && [ -f "$B2D_ROOT/etc/init.d/docker" ] && [ -d "$B2D_ROOT/var/lib/boot2docker" ] || return 0
	grep -q '# boinc2docker$' "$B2D_ROOT/var/lib/boot2docker/profile" 2>/dev/null && return 0
	sed 's/$/ # boinc2docker/' "$site_env" >>"$B2D_ROOT/var/lib/boot2docker/profile" || return 1
	! docker_started || docker_restart || log boot 'Docker could not be restarted with the proxy settings'
}

# site_quote TEXT: prints it as one single-quoted shell word.
site_quote() {
	printf "'"
	printf '%s' "$1" | sed "s/'/'\\\\''/g"
	printf "'"
}
