# lib.sh - sourced by the scripts that test timedisk on loopback: what is counted, ports, waiting.
# The script sets `kit` (its tests are called KIT/NAME) and `out` (logs are in $out/log); `bad` and `child` are kept here.
bad=0 child=
ok() { echo "test $kit/$1 ... ok"; }
failed() { echo "test $kit/$1 ... FAILED: $2"; bad=1; }
skipped() { echo "test $kit/$1 ... skipped: $2"; }
freeport() { local p; while :; do p=$((20000 + RANDOM % 12000)); (exec 3<>"/dev/tcp/127.0.0.1/$p") 2>/dev/null || { echo $p; return; }; done; }
# wait_ready FILE PID: until the file is there and not empty, or the process is not
wait_ready() {
    for _ in $(seq 200); do [ ! -s "$1" ] || return 0; kill -0 "$2" 2>/dev/null || return 1; sleep 0.05; done
    return 1
}
# ended PID SECONDS: waits for a child and gives its status; one that is still there after SECONDS is killed (status 137)
ended() {
    local rc=0 guard
    (sleep "$2"; kill -KILL "$1" 2>/dev/null) & guard=$!
    wait "$1" || rc=$?
    kill "$guard" 2>/dev/null || true; wait "$guard" 2>/dev/null || true
    return $rc
}
# check NAME COMMAND…: one test; it passes if every step of it does (the command runs under set -e)
check() {
    local name=$1 log; shift
    log=$out/log/${name//\//_}.log
    (set -e; trap 'leave $?' EXIT; export PS4='+ '; set -x; "$@") > "$log" 2>&1 & child=$!
    wait "$child"; local rc=$?; child=
    if [ $rc = 0 ]; then ok "$name"; else failed "$name" "status $rc, see $log"; tail -n 12 "$log" | sed 's/^/    /'; fi
}
leave() { exit "$1"; } # what a check does at its end; a script that has something to clean up says so
refused() { # refused TEXT COMMAND…: the command fails and says TEXT
    local text=$1 said; shift
    if said=$("$@" 2>&1); then echo "succeeded, though it must be refused: $said"; return 1; fi
    grep -qi -- "$text" <<<"$said" || { echo "refused, but not with '$text': $said"; return 1; }
}
limit() { timeout -k 2 30 "$@"; }
