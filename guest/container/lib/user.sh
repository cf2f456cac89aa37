# shellcheck shell=sh
# shellcheck disable=SC2034 # results are variables: read by runner.sh
# Who a container's process is, by the rules of Docker (github.com/moby/sys/user, GetExecUser).

# user_find USER[:GROUP]: sets USER_ID, USER_GROUP, USER_GROUPS (with commas) and USER_HOME. Fails with USER_ERROR.
user_find() {
	user_name=${1%%:*} user_of_group=
	case $1 in *:*) user_of_group=${1#*:} ;; esac
	user_files=
	for user_file in "${USER_ETC:=/etc}/passwd" "$USER_ETC/group"; do
		[ ! -r "$user_file" ] || user_files="$user_files $user_file"
	done
	# shellcheck disable=SC2086 # two paths without blanks, or fewer
	user_said=$(USER_NAME=$user_name USER_GROUP_NAME=$user_of_group awk -F: '
		function number(text) { return text ~ /^[0-9]+$/ }
		BEGIN { name = ENVIRON["USER_NAME"]; group = ENVIRON["USER_GROUP_NAME"]; id = 0; main = 0; home = "/" }
		FILENAME ~ /passwd$/ {
			if (found) next
			if (name == "" ? $3 + 0 == 0 && number($3) : number(name) ? number($3) && $3 + 0 == name + 0 : $1 == name) {
				found = 1; known = $1; id = $3; main = $4; home = $6
			}
			next
		}
		{
			if (group != "") {
				if (!matched && ($1 == group || (number(group) && $3 + 0 == group + 0))) { matched = 1; main_of = $3 }
				next
			}
			if (!found || !number($3)) next
			count = split($4, members, ",")
			for (i = 1; i <= count; i++) if (members[i] == known) { more = more "," $3; break }
		}
		END {
			if (!found && name != "") {
				if (!number(name)) { print "unable to find user " name ": no matching entries in passwd file"; exit }
				id = name
			}
			if (group != "") {
				if (!matched && !number(group)) { print "unable to find group " group ": no matching entries in group file"; exit }
				main = matched ? main_of : group
			}
			printf "%d %d %d%s %s\n", id, main, main, more, home == "" ? "/" : home
		}' $user_files </dev/null)
	case $user_said in
	[0-9]*)
		read -r USER_ID USER_GROUP USER_GROUPS USER_HOME <<-FOUND
			$user_said
		FOUND
		;;
	*)
		USER_ERROR=$user_said
		return 1
		;;
	esac
}
