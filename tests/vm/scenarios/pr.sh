# pr - persistent reservations between two initiators (two open-iscsi interfaces with different names in one guest):
# register, reserve, conflict, release, preempt, clear, and that a registration survives a reconnect of the session.
#@ LUN_SIZES=64M
#@ TIMEOUT=180
#@ PR_RESTART=1
discover
iscsiadm -m node -T "$IQN" -p "$TARGET" -o delete >/dev/null 2>&1 || true
for x in a b; do
    iscsiadm -m iface -I $x -o new >/dev/null; iscsiadm -m iface -I $x -o update -n iface.initiatorname -v "$INITIATOR-$x" >/dev/null; done
iscsiadm -m node -T "$IQN" -p "$TARGET" -I a -o new >/dev/null; chap_on; login -I a
iscsiadm -m node -T "$IQN" -p "$TARGET" -I b -o new >/dev/null; chap_on; login -I b
byname() { local s h; for s in /sys/class/iscsi_session/session*; do h=$(cat "$s/initiatorname"); [ "$h" = "$INITIATOR-$1" ] && { for x in "$s"/device/target*/*/block/*; do echo "/dev/${x##*/}"; return 0; done; }; done; return 0; }
A=$(byname a); B=$(byname b); [ -n "$A" ] && [ -n "$B" ] && [ "$A" != "$B" ] || die "two sessions wanted: '$A' '$B'"; ok "initiator a is $A, b is $B"
pr() { local d=$1; shift; sg_persist --no-inquiry "$@" "$d"; }
w()  { dd if=/dev/zero of="$1" bs=4k count=1 oflag=direct conv=nocreat status=none 2>/tmp/w; }
try() { local want=$1 what=$2; shift 2; local st=0; "$@" >/tmp/t 2>&1 || st=$?
    if [ $st = 6 ]; then say "unit attention first: $(grep -i 'additional sense' /tmp/t)"; st=0; "$@" >/tmp/t 2>&1 || st=$?; fi
    if { [ "$want" = ok ] && [ $st = 0 ]; } || { [ "$want" = conflict ] && [ $st = 24 ]; } || { [ "$want" = fail ] && [ $st != 0 ]; }; then ok "$what"; else die "$what: wanted $want, status $st: $(cat /tmp/t)"; fi; }
try ok "report capabilities" pr "$A" --in -c; cat /tmp/t; ptpl=0; grep -q 'PTPL_C): 1' /tmp/t && ptpl=1
try ok "a registers" pr "$A" --out --register --param-sark=0xa1
try ok "b registers" pr "$B" --out --register --param-sark=0xb2
pr "$A" --in -k | tee /tmp/k; grep -q 0xa1 /tmp/k && grep -q 0xb2 /tmp/k || die "keys"
try ok "a reserves write exclusive" pr "$A" --out --reserve --param-rk=0xa1 --prout-type=1
try conflict "b cannot reserve" pr "$B" --out --reserve --param-rk=0xb2 --prout-type=1
w "$A" && ok "a writes" || die "a cannot write: $(cat /tmp/w)"
w "$B" && die "b wrote through a's reservation" || ok "b's write is refused"
dd if="$B" of=/dev/null bs=4k count=1 iflag=direct status=none && ok "b reads (write exclusive)" || die "b cannot read"
try ok "a releases" pr "$A" --out --release --param-rk=0xa1 --prout-type=1
w "$B" && ok "b writes after the release" || die "b cannot write: $(cat /tmp/w)"
try ok "a reserves exclusive access" pr "$A" --out --reserve --param-rk=0xa1 --prout-type=3
dd if="$B" of=/dev/null bs=4k count=1 iflag=direct status=none 2>/dev/null && die "b read through exclusive access" || ok "b's read is refused"
try conflict "wrong key is refused" pr "$A" --out --release --param-rk=0xdead --prout-type=3
try ok "b preempts a" pr "$B" --out --preempt --param-rk=0xb2 --param-sark=0xa1 --prout-type=3
pr "$B" --in -k | grep -q 0xa1 && die "a still registered after preempt" || ok "a's key is gone"
w "$A" && die "a writes after being preempted" || ok "a's write is refused after preempt"
w "$B" && ok "b holds the reservation and writes" || die "b cannot write: $(cat /tmp/w)"
try ok "b clears" pr "$B" --out --clear --param-rk=0xb2
w "$A" && ok "all clear: a writes" || { w "$A" && ok "all clear: a writes (after a unit attention)" || die "a cannot write after clear"; }
if [ $ptpl = 0 ]; then say "no PTPL_C: APTPL not checked"; logout; exit 0; fi
try ok "a registers with APTPL" pr "$A" --out --register --param-sark=0xa9 --param-aptpl
if [ "${PR_RESTART:-0}" = 1 ]; then
    host restart 1 || die "restart"; sleep 2; wait_logged_in 60 || die "session gone"; sleep 3
    sg_turs "$A" >/dev/null 2>&1 || true; pr "$A" --in -k | tee /tmp/k; grep -q 0xa9 /tmp/k && ok "registration survived the target's restart (APTPL)" || die "APTPL registration lost"
fi
logout
