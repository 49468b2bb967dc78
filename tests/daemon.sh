# daemon.sh - sourced, after lib.sh, by the scripts that start timedisk as people do: each test in an empty directory of its own.
home=$(mktemp -d) || exit 2
chmod 755 "$home"; cp "${TARGET_BIN:-$target/release/timedisk}" "$home/timedisk" || exit 2
bin=$home/timedisk
base=iqn.1994-04.org.netbsd.iscsi-target
quit() { trap - INT TERM EXIT; [ -z "$child" ] || { kill -TERM "$child" 2>/dev/null; wait "$child"; }; rm -rf "$home"; exit "$1"; }
trap 'quit 130' INT; trap 'quit 143' TERM; trap 'quit $?' EXIT

# --- inside a test: an empty directory $d, a free port $p; daemons that a test leaves behind are killed
started=0
leave() { local left; left=$(jobs -rp); [ -z "$left" ] || kill -KILL $left 2>/dev/null || true; exit "$1"; }
in_its_own_directory() { d=$home/$1; mkdir "$d"; cd "$d"; p=$(freeport); trap 'exit 143' TERM; "t_$1"; }
# start ARGUMENTS…: a daemon, until its URLs are there; sets daemon, and url to the first of them
start() {
    local n=$((++started))
    stdout=$d/stdout.$n stderr=$d/stderr.$n; : > "$stdout"
    env --default-signal=INT -u XDG_STATE_HOME "$bin" "$@" > "$stdout" 2> "$stderr" < /dev/null & daemon=$!
    wait_ready "$stdout" "$daemon" || { cat "$stderr"; return 1; }
    url=$(head -1 "$stdout")
}
stop() { kill "-${1:-TERM}" "$daemon"; ended "$daemon" 12; }
says() { grep -qE -- "$1" "$2" || { echo "not a word of '$1' in $2:"; cat "$2"; return 1; }; }
never() { # never PATTERN FILE…
    if grep -E -- "$@"; then echo "that must not be said"; return 1; fi
}
holds() { # holds PATTERN-BYTE OFFSET LENGTH IMAGE-OR-URL
    limit qemu-io -f raw -c "read -P $1 $2 $3" "$4" > read; cat read; never 'verification failed' read
}
# sentence STATUS PATTERN ARGUMENTS…: ends with the status, and all it says is one line on stderr with the pattern in it
sentence() {
    local status=$1 pattern=$2 rc=0; shift 2
    timeout -k 2 10 "$bin" "$@" > said.out 2> said.err < /dev/null || rc=$?
    cat said.out said.err
    [ $rc = "$status" ]; [ ! -s said.out ]; [ "$(wc -l < said.err)" = 1 ]; says "^timedisk: .*($pattern)" said.err
}
secrets() { echo --object "secret,id=chap,data=$1"; }
qemu_url() { # the LUN at $url for QEMU's --image-opts, with a CHAP user or without one
    local rest=${url#iscsi://}
    echo "driver=raw,file.driver=iscsi,file.transport=tcp,file.portal=${rest%%/*},file.target=$(cut -d/ -f2 <<<"$rest"),file.lun=0${1:+,file.user=$1,file.password-secret=chap}"
}
