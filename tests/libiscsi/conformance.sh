#!/bin/bash
# conformance.sh - run libiscsi's conformance suite against any target, as a table.
#
#   conformance.sh URL OUTDIR [NAME-REGEX]
#
# URL: iscsi://[user%secret@]host:port/iqn/lun. The LUN's DATA IS DESTROYED (--dataloss, --allow-sanitize).
# One process (one fresh login) per suite of the family ALL, which has every test of the other families; each suite ends after
# PER seconds (default 60), and what it was in then is reported as HANG. Tests are run in the suite's own order.
# NAME-REGEX: only suites whose name matches.
# Environment: TEST_CU = the binary (default iscsi-test-cu of the PATH); PER; MULTIPATH = a second URL of the same LUN
# (default: URL itself again, so that the multipath tests run over two sessions; "none" leaves it out); VERBOSE=1 adds -V.
# RESET = a shell command run before each suite (restart the target on a fresh disk, say), so that what one suite leaves behind,
# such as a reservation, does not fail the next.
# Second initiator names are given, so the persistent-reservation tests have two nexuses.
# OUTDIR gets one log per suite, results.tsv (suite, test, result, reason), suites.tsv (suite, exit status, ms) and summary.txt.
# Results: pass, FAIL, skip, HANG (PER ran out inside it), CRASH (the suite's process died inside it), not-run (after such an end).
{ # read whole before it runs
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
[ $# -ge 2 ] || { sed -n '2,/^{/{/^{/d;s/^# \{0,1\}//p}' "$0"; exit 2; }
url=$1 out=$2 re=${3:-.}
cu=${TEST_CU:-iscsi-test-cu}; per=${PER:-60}; mp=${MULTIPATH:-$url}; child=
trap '[ -z "$child" ] || kill -TERM "$child" 2>/dev/null; exit 143' INT TERM
mkdir -p "$out"; : > "$out/suites.tsv"; rm -f "$out"/*.log
"$cu" --list > "$out/list.txt" 2>&1
mapfile -t suites < <(awk -F. '$1 == "ALL" && NF >= 2 {sub(/[^A-Za-z0-9_].*/, "", $2); if (!s[$2]++) print $2}' "$out/list.txt" | grep -E "$re")
[ ${#suites[@]} -gt 0 ] || { echo "conformance.sh: no suite matches $re" >&2; exit 1; }
for s in "${suites[@]}"; do
    args=(--dataloss --allow-sanitize -v -i iqn.2026-01.lab.initiator:one -I iqn.2026-01.lab.initiator:two)
    [ -n "${VERBOSE:-}" ] && args+=(-V)
    args+=(-t "ALL.$s.*" "$url"); [ "$mp" != none ] && args+=("$mp")
    [ -n "${RESET:-}" ] && bash -c "$RESET" > /dev/null 2>&1
    t=$(date +%s%N)
    timeout -k 2 "$per" "$cu" "${args[@]}" > "$out/$s.log" 2>&1 < /dev/null & child=$!
    wait "$child"; rc=$?; child=
    printf '%s\t%s\t%s\n' "$s" $rc $((($(date +%s%N) - t) / 1000000)) >> "$out/suites.tsv"
done
awk -f "$here/table.awk" -v out="$out" "$out/list.txt" "$out/suites.tsv" > "$out/results.tsv"
awk -F'\t' '{n[$3]++; t++; if ($3 == "skip") {sub(/\.? *Skipping.*/, "", $4); why[$4]++} else if ($3 != "pass") odd[++o] = $3 "\t" $1 "." $2 "\t" $4}
    END {k = split("pass FAIL skip HANG CRASH not-run", kind, " "); s = t " tests:"; c = ""
        for (i = 1; i <= k; i++) if (n[kind[i]]) {s = s c " " n[kind[i]] " " kind[i]; c = ","}
        print s; for (i = 1; i <= o; i++) print odd[i]; for (w in why) print "skip x" why[w] "\t" w}' "$out/results.tsv" > "$out/summary.txt"
head -1 "$out/summary.txt"
}
