#!/usr/bin/env bash
# Usage: examples/chat/two-nodes.sh
#
# Serves the chat with two nodes behind nginx, which sends each request to
# whichever node is next: http://127.0.0.1:3000, or PORT. The nodes are on the
# two ports after it. CHAT_STORE is the URL of a PostgreSQL or Redis database, of NATS
# or of a Worker with Durable Objects. Without it the script starts a server of its
# own, on the third port, whose data is gone when it ends.
#
# It takes commands from its input, one a line: "kill 1" ends node 1 as kill -9
# does, "start 1" starts it again. Ctrl-C, "quit" or the end of the input end
# everything.
#
# It needs nginx and, without CHAT_STORE, PostgreSQL: Debian's packages nginx-light and
# postgresql.
set -euo pipefail
cd "$(dirname "$0")"

port=${PORT:-3000}
dir=$(mktemp -d "${TMPDIR:-/tmp}/chat.XXXXXX")
declare -A pids=()
cleanup() {
	trap - EXIT INT TERM
	for name in nginx 1 2 postgres; do
		[ -n "${pids[$name]:-}" ] || continue
		kill -"$([ "$name" = postgres ] && echo INT || echo TERM)" "${pids[$name]}" 2>/dev/null || true
		wait "${pids[$name]}" 2>/dev/null || true
	done
	rm -rf "$dir"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# until_it_answers waits until something listens on a port, but not for ever.
until_it_answers() {
	for _ in $(seq 600); do
		if (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; then return; fi
		sleep 0.1
	done
	echo "nothing answers on port $1" >&2
	return 1
}

# postgres starts a server and sets CHAT_STORE. PostgreSQL refuses to run as root.
postgres() {
	local bin as=()
	bin=$(printf '%s\n' /usr/lib/postgresql/*/bin | sort -V | tail -n 1)
	[ -x "$bin/initdb" ] || bin=$(dirname "$(command -v initdb)") || { echo "no PostgreSQL: apt-get install postgresql, or set CHAT_STORE" >&2; exit 1; }
	mkdir -m 700 "$dir/postgres"
	if [ "$(id -u)" -eq 0 ]; then
		as=(setpriv --reuid=postgres --regid=postgres --clear-groups)
		chmod 755 "$dir"
		chown postgres: "$dir/postgres"
	fi
	(cd /; "${as[@]}" "$bin/initdb" -D "$dir/postgres" -U chat -A trust --no-sync >/dev/null)
	"${as[@]}" "$bin/postgres" -D "$dir/postgres" -p $((port + 3)) -c listen_addresses=127.0.0.1 -c unix_socket_directories= \
		>"$dir/postgres.log" 2>&1 </dev/null &
	pids[postgres]=$!
	until_it_answers $((port + 3))
	for _ in $(seq 600); do # it listens before it lets anybody in
		if "$bin/pg_isready" -q -h 127.0.0.1 -p $((port + 3)); then break; fi
		sleep 0.1
	done
	CHAT_STORE="postgres://chat@127.0.0.1:$((port + 3))/postgres?sslmode=disable"
}

# start starts a node, which takes the URL from CHAT_STORE: it may have a password.
start() {
	[ -z "${pids[$1]:-}" ] || { echo "node $1 runs" >&2; return 0; }
	"$dir/chat" -addr "127.0.0.1:$((port + $1))" -keys "$dir/keys" >"$dir/node$1.log" </dev/null &
	pids[$1]=$!
	until_it_answers $((port + $1))
	echo "node $1 runs, process ${pids[$1]}"
}

# stop kills a node.
stop() {
	[ -n "${pids[$1]:-}" ] || { echo "node $1 does not run" >&2; return 0; }
	kill -KILL "${pids[$1]}" 2>/dev/null || true
	wait "${pids[$1]}" 2>/dev/null || true
	unset "pids[$1]"
	echo "node $1 was killed"
}

proxy() {
	local nginx
	nginx=$(command -v nginx || echo /usr/sbin/nginx)
	[ -x "$nginx" ] || { echo "no nginx: apt-get install nginx-light" >&2; exit 1; }
	# A node that does not answer gets nothing for two seconds. A request that did
	# not reach it goes to the other one; a form that did is never sent twice.
	cat >"$dir/nginx.conf" <<-CONF
		daemon off;
		worker_processes 1;
		pid $dir/nginx.pid;
		error_log $dir/nginx.log;
		events {}
		http {
			access_log off;
			client_body_temp_path $dir/body;
			proxy_temp_path $dir/proxy;
			fastcgi_temp_path $dir/fastcgi;
			uwsgi_temp_path $dir/uwsgi;
			scgi_temp_path $dir/scgi;
			upstream chat {
				server 127.0.0.1:$((port + 1)) max_fails=1 fail_timeout=2s;
				server 127.0.0.1:$((port + 2)) max_fails=1 fail_timeout=2s;
				keepalive 16;
			}
			server {
				listen 127.0.0.1:$port;
				location / {
					proxy_pass http://chat;
					proxy_http_version 1.1;
					proxy_set_header Connection "";
					proxy_set_header Host \$http_host;
					proxy_connect_timeout 2s;
				}
			}
		}
	CONF
	"$nginx" -c "$dir/nginx.conf" -p "$dir" -e "$dir/nginx.log" </dev/null &
	pids[nginx]=$!
	until_it_answers "$port"
}

go run -exec cp . "$dir/chat" # go run keeps what it has linked for the next time
head -c 32 /dev/urandom | od -An -tx1 -v | tr -d ' \n' >"$dir/keys"
chmod 600 "$dir/keys"
[ -n "${CHAT_STORE:-}" ] || postgres
export CHAT_STORE
start 1
start 2
proxy
echo "listening on http://127.0.0.1:$port"
while read -r command node; do
	case "$command ${node:-}" in
	"kill 1" | "kill 2") stop "$node" ;;
	"start 1" | "start 2") start "$node" ;;
	"quit ") break ;;
	*) echo 'commands: kill 1, kill 2, start 1, start 2, quit' >&2 ;;
	esac
done
