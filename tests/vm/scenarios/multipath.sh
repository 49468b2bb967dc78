# multipath - one LUN by two portal groups: dm-multipath weighs the paths by ALUA, goes on by the one that is left while fio
# writes and verifies, and hears of states that an initiator or an administrator changes.
#@ LUN_SIZES=96M
#@ PORTAL_STATE=non-optimized
#@ REPLACEMENT_TIMEOUT=2
#@ TIMEOUT=420
command -v multipathd >/dev/null || skip "no multipathd in the guest"
discover
# the kernel's own pings find out that a way is lost
opt 'node.conn[0].timeo.noop_out_timeout' 3
login
host second > /tmp/second || skip "the driver has no second portal"
second=10.0.2.2:$(cat /tmp/second)
first=$TARGET
TARGET=$second
iscsiadm -m node -o new -T "$IQN" -p "$TARGET" >/dev/null
opt 'node.conn[0].timeo.noop_out_interval' 1; opt 'node.conn[0].timeo.noop_out_timeout' 3
opt node.session.timeo.replacement_timeout "$REPLACEMENT_TIMEOUT"
login
TARGET=$first
# of_group N: the disk that is reached by this portal group
of_group() {
    local s; for s in /sys/class/iscsi_session/session*; do
        [ "$(cat "$s/tpgt")" = "$1" ] && { for d in "$s"/device/target*/*/block/*; do echo "${d##*/}"; return; done; }
    done; die "no session with portal group $1"
}
A=$(of_group 1) B=$(of_group 2); [ "$A" != "$B" ] || die "one disk by both: $A"
ok "$A is reached by portal group 1, $B by 2"
identity() { sg_vpd -p di "/dev/$1"; }
wwid() { tr -d '\0' < "/sys/block/$1/device/wwid"; }
[[ $(wwid "$A") == *0x3* && $(wwid "$A") = $(wwid "$B") ]] || die "two logical units: $(wwid "$A"), $(wwid "$B")"; ok "both are one logical unit"
identity "$A" | grep -qi 'relative target port: 0x1' || die "port of $A: $(identity "$A")"
identity "$B" | grep -qi 'relative target port: 0x2' || die "port of $B: $(identity "$B")"
ok "each says by which port it was reached"
sg_vpd -p sp "/dev/$A" > /tmp/ports; grep -q ',t,0x0001' /tmp/ports && grep -q ',t,0x0002' /tmp/ports || die "ports: $(cat /tmp/ports)"
ok "and knows of both ports"

# states: the states of the groups, as the second path tells them, with who has set them
states() {
    sg_rtpg --decode "/dev/$B" > /tmp/rtpg 2>&1 || sg_rtpg --decode "/dev/$B" > /tmp/rtpg 2>&1 || die "sg_rtpg: $(cat /tmp/rtpg)"
    sed -n 's/.*asymmetric access state : 0x\(..\).*/\1/p; s/.*status code : 0x\(..\).*/by \1/p' /tmp/rtpg | tr '\n' ' '
}
sg_rtpg --decode "/dev/$A" || die "sg_rtpg"; sg_rtpg --extended --decode "/dev/$A" >/dev/null || die "sg_rtpg --extended"

# --- dm-multipath. There is no udevd here: its memory of the disks is made by hand, and the tools make their own nodes.
export DM_DISABLE_UDEV=1
mkdir -p /run/udev/data /etc/multipath /run/multipathd; : > /run/udev/control
for d in "$A" "$B"; do
    id=$(sg_vpd -p di_lu --quiet "/dev/$d" | grep -m1 -o '0x3.*')
    printf 'I:1\nE:ID_SERIAL=%s\nE:ID_WWN=%s\n' "$id" "$id" > "/run/udev/data/b$(cat "/sys/block/$d/dev")"
done
cat > /etc/multipath.conf <<CONF
defaults {
    find_multipaths no
    user_friendly_names no
    polling_interval 1
    max_polling_interval 2
    path_grouping_policy group_by_prio
    detect_prio no
    prio alua
    path_checker tur
    checker_timeout 5
    failback immediate
    no_path_retry queue
}
blacklist {
    devnode "^vd"
}
devices {
    device {
        vendor timedisk
        product ".*"
        hardware_handler "1 alua"
    }
}
CONF
modprobe dm_multipath; modprobe dm_service_time; modprobe scsi_dh_alua
multipathd -d -s -v2 > /tmp/multipathd.log 2>&1 &
daemon=$!
topology() { multipathd show topology 2>/dev/null; }
# wait_for WHAT SECONDS COMMAND…
wait_for() {
    local what=$1 n=$(($2 * 4)); shift 2
    until "$@"; do sleep 0.25; n=$((n - 1)); [ $n -gt 0 ] || { topology; multipathd show paths; grep -v operator /tmp/multipathd.log | tail -n 60; die "$what"; }; done; ok "$what"
}
# path_is DISK PATTERN: what multipathd says of a path: its priority, and its states in the map and when it was checked
path_is() { multipathd show paths raw format '%d|%p|%t|%T' 2>/dev/null | grep -qE "^$1\|$2"; }
are_mapped() { [ "$(topology | grep -cwE "$A|$B")" = 2 ]; }
wait_for "both paths are in one map" 30 are_mapped
topology
wait_for "priorities follow the states: 50 and 10" 20 eval 'path_is "$A" "50\|active" && path_is "$B" "10\|active"'
M=$(multipathd show maps raw format %n | head -1); [ -b "/dev/mapper/$M" ] || die "no /dev/mapper/$M"

# --- states that an initiator sets
# set STATE,STATE: what groups 1 and 2 are to be. sg_stpg ends with status 0 whatever the answer is.
set_states() { sg_stpg --tp=1,2 --state="$1" "/dev/$B" > /tmp/stpg 2>&1 && [ ! -s /tmp/stpg ] || die "sg_stpg $1: $(cat /tmp/stpg)"; }
[ "$(states)" = "00 by 00 01 by 00 " ] || die "states at first: $(states)"
set_states 2,0
[ "$(states)" = "02 by 01 00 by 01 " ] || die "states: $(states)"; ok "an initiator has made the first path standby"
sg_stpg --tp=1 --state=0xe "/dev/$B" 2>&1 | grep -qi 'illegal request' || die "an initiator has taken a group offline"
wait_for "the other path has become the better one" 90 eval 'path_is "$B" "50\|active" && path_is "$A" 1'
dd if=/dev/zero of="/dev/$A" bs=4k count=1 oflag=direct conv=nocreat status=none 2>/dev/null && die "a write by a standby path" || ok "the standby path takes no writes"
dd if=/dev/zero of="/dev/mapper/$M" bs=4k count=1 oflag=direct conv=nocreat status=none || die "the map takes none either"; ok "the map does"
set_states 0,1
wait_for "and back" 90 eval 'path_is "$A" "50\|active" && path_is "$B" "10\|active"'

# --- states that an administrator sets, and a way that is lost, while fio writes and verifies
verify_until_told "mapper/$M" 48
sleep 3
host access 0 1 offline || die "disk access"
wait_for "the path that is offline is left" 30 path_is "$A" '[0-9-]+\|failed'
sleep 4
host access 0 1 optimized || die "disk access"
wait_for "and comes back" 30 path_is "$A" '50\|active'
host access 0 2 optimized; host access 0 1 non-optimized
wait_for "the better path is the second" 30 eval 'path_is "$B" "50\|active" && path_is "$A" "10\|active"'
sleep 3
host way down || die "way down"
wait_for "the way that is lost is noticed" 60 path_is "$B" '[0-9-]+\|failed'
sleep 5
host way up || die "way up"
wait_for "and is there again" 60 path_is "$B" '50\|active'
sleep 3
verify_end
kill "$daemon"; wait "$daemon" 2>/dev/null || true
multipath -F || die "the map is still in use"

# --- what was changed outlives the target. With explicit ALUA the kernel makes a path optimized that a map turns to, so there is
# none now.
host access 0 1 standby; host access 0 2 optimized
[[ $(states) == "02 by 0"?" 00 by 0"?" " ]] || die "states: $(states)"
host restart 1 || die "restart"
logged_in() { [ "$(cat /sys/class/iscsi_session/session*/state | sort | uniq -c | tr -s ' ')" = " 2 LOGGED_IN" ]; }
wait_for "both sessions are there again" 60 logged_in
[ "$(states)" = "02 by 00 00 by 00 " ] || die "states after the restart: $(states)"; ok "states outlive a restart of the target"
logout; TARGET=$second; logout
