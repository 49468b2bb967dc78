# reload - what the client sees of changes to the target's files while it works. First: 50 reloads, by command and by
# SIGHUP, that add, remove, grow, re-permit, break and mend everything but its own target, under a verifying fio. It must
# notice nothing: no error, no unit attention, no other connection, not one line from the kernel. Then changes of its own
# target: a LUN comes and goes while fio goes on on the other, and a mask shuts it out and lets it in again.
#@ LUN_SIZES=128M
#@ TIMEOUT=360
: "${RELOADS:=50}" "${MB:=32}"
listed() { iscsiadm -m discovery -t st -p "$TARGET" -o nonpersistent 2>/dev/null | awk '{print $2}' | grep -qxF -- "$1"; }
until_true() { # until_true SECONDS COMMAND…
    local end=$((SECONDS + $1)); shift; until "$@"; do [ $SECONDS -lt $end ] || return 1; sleep 0.2; done; }
count_is() { [ "$(disks | wc -l)" = "$1" ]; }
shut_out() { [ "$(session_state)" != LOGGED_IN ]; }
no_use() { ! dd "$@" bs=4k count=1 status=none 2>/dev/null; }
errors() { echo $(($(cat "/sys/block/$1/device/ioerr_cnt"))); }
pattern() { yes "lun $1 of $IQN" | head -c $((8 << 20)); }
same_as() { cmp -s <(dd if="/dev/$1" bs=64k count=128 ${3:+skip="$(($3 * 16))"} iflag=direct status=none) <(pattern "$2"); }

discover; login; d=$(disk 0); s=${d##*/}
pattern 0 | dd of="$d" bs=1M seek=100 iflag=fullblock oflag=direct status=none
same_as "$s" 0 100 || die "LUN 0 is not as written"
daemon=$(host pid) || skip "the driver has no word for what changes without a restart"; from=$(session_port); [ -n "$from" ] || die "where is the session's connection?"
mark; before=$(errors "$s")

verify_until_told "$s" "$MB"
for ((k = 1; k <= RELOADS; k++)); do
    host others "$k" > /tmp/said || die "reload $k did not come out as it should: $(cat /tmp/said)"
    case $((k % 10)) in
        1) listed "$IQN-other" || die "reload $k has added a target, and discovery does not list it";;
        3) listed "$IQN-other" && listed "$IQN" || die "reload $k was refused, and yet changed what discovery lists";;
        7|0) ! listed "$IQN-other" || die "reload $k has hidden or removed a target, and discovery lists it still";;
    esac
done
verify_end
[ "$(host pid)" = "$daemon" ] || die "the target was restarted"
[ "$(session_port)" = "$from" ] || die "the session is on another connection: it had to log in again"
[ "$(errors "$s")" = "$before" ] || die "$(($(errors "$s") - before)) commands did not end well (a unit attention counts)"
[ -z "$(since)" ] || { since; die "the kernel had something to say"; }
result "$RELOADS reloads of other targets: no error, no unit attention, same connection, the kernel silent"

say "== a LUN comes"
verify_until_told "$s" "$MB"; mark
host lun 1 48M || die "host could not add a LUN"
if until_true 15 count_is 2; then how="by itself (asynchronous message 3F/0E)"; else
    how="after a rescan by hand"; iscsiadm -m session --rescan >/dev/null; until_true 15 count_is 2 || die "LUN 1 does not appear, not even after a rescan"; fi
result "LUN 1 appeared $how"
[ "${how%% *}" = by ] || die "the asynchronous message did not make iscsid look for it"
two=$(disk 1); two=${two##*/}; [ "$(blockdev --getsize64 "/dev/$two")" = $((48 * 1048576)) ] || die "LUN 1 has another size"
pattern 1 | dd of="/dev/$two" bs=1M iflag=fullblock oflag=direct status=none || die "LUN 1 can't be written"
same_as "$two" 1 || die "LUN 1 is not as written"

say "== the LUN goes, the other goes on"
host lun 1 none || die "host could not remove the LUN"
no_use if="/dev/$two" of=/dev/null iflag=direct || die "LUN 1 can still be read"
no_use if=/dev/zero of="/dev/$two" oflag=direct || die "LUN 1 can still be written"
dd if="$d" of=/dev/null bs=4k count=1 iflag=direct status=none || die "LUN 0 can't be read"
ok "LUN 1 is gone for new I/O"
echo 1 > "/sys/block/$two/device/delete"; until_true 10 count_is 1 || die "the kernel keeps LUN 1"
host lun 1 48M || die "host could not add the LUN again"
until_true 15 count_is 2 || die "LUN 1 does not come back"
two=$(disk 1); same_as "${two##*/}" 1 || die "LUN 1 has come back with other data"
ok "LUN 1 came back with its data"
verify_end
[ "$(session_port)" = "$from" ] || die "the session is on another connection: it had to log in again"
since | grep -E "${s}[^a-z].*(error|fail)|conn error" && die "the kernel logged trouble on LUN 0"

say "== shut out, and let in again"
# a session that loses its target is kept up by iscsid, which asks again every two seconds; what is read meanwhile waits
host mask 192.0.2.0/24 || die "host could not change the mask"
until_true 30 shut_out || die "the session goes on"
dd if="$d" of=/tmp/late bs=64k skip=1600 count=128 iflag=direct status=none & late=$!
for _ in $(seq 12); do shut_out || die "the session has come back, though the mask shuts it out"; sleep 0.5; done
kill -0 $late 2>/dev/null || die "a read has ended while the session was shut out"
ok "shut out: logged out, and every login since was refused"
host mask 0.0.0.0/0 || die "host could not change the mask back"
wait_logged_in 60 || die "the session does not come back: $(session_state)"
wait $late && pattern 0 | cmp -s - /tmp/late || die "the read that waited for the target was not answered, or not with what was written"
ok "the session came back by itself, and a read that had waited was answered"

say "== the same for one who logs in anew"
host mask 192.0.2.0/24 || die "host could not change the mask"
until_true 30 shut_out || die "the session goes on"
logout >/dev/null; until_true 10 count_is 0 || die "disks are left: $(disks)"
iscsiadm -m node -T "$IQN" -p "$TARGET" -l >/tmp/l 2>&1 && die "logged in although the mask shuts it out"
grep -qi 'authorization' /tmp/l && ok "login is refused as an authorization failure" || die "refused, but how? $(cat /tmp/l)"
! listed "$IQN" || die "discovery lists a target that is not for this client"
host mask 0.0.0.0/0 || die "host could not change the mask back"
listed "$IQN" || die "discovery does not list the target again"
login; s=$(disk 0); s=${s##*/}; same_as "$s" 0 100 || die "LUN 0 is not as written"
[ "$(host pid)" = "$daemon" ] || die "the target was restarted"
ok "let in again, data as written"; logout
