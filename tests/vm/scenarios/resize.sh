# resize - two LUNs grow while they are used, without a restart of the target or another login: LUN 0 in the file, under a
# mounted file system; LUN 1, whose extent says `size`, by command, under a verifying fio. The kernel is told of each by
# unit attention (2A/09), a rescan sees the new size, the file system grows online, data survive, the new end is usable.
#@ LUN_SIZES=256M 64M
#@ SIZE_EXTENTS=1
#@ TIMEOUT=240
: "${NEW0:=384M}" "${NEW1:=96M}"
told() { # told DISK: with its next command, the kernel has been told by the target that the capacity has changed
    local address; address=$(basename "$(readlink "/sys/block/$1/device")")
    dd if="/dev/$1" of=/dev/null bs=4k count=1 iflag=direct status=none || die "a read of $1 fails after it has grown"
    since | grep -q "sd $address: Capacity data has changed" || { since; die "$1 has grown without a unit attention"; }
    ok "$1: the kernel says: Capacity data has changed"
}
rescan() { # rescan DISK SIZE
    local old now; old=$(blockdev --getsize64 "/dev/$1")
    echo 1 > "/sys/block/$1/device/rescan"; now=$(blockdev --getsize64 "/dev/$1")
    [ "$now" = $((${2%M} * 1048576)) ] || die "$1 has $now bytes after the rescan, wanted $2"
    ok "$1: a rescan sees $old -> $now bytes"
}
last_sector() { # last_sector DISK: it can be written and read
    local n; n=$(($(blockdev --getsize64 "/dev/$1") / 512 - 1)); dd if=/dev/urandom of=/tmp/s bs=512 count=1 status=none
    dd if=/tmp/s of="/dev/$1" bs=512 seek="$n" oflag=direct status=none || die "the last sector of $1 can't be written"
    dd if="/dev/$1" bs=512 skip="$n" iflag=direct status=none | cmp - /tmp/s || die "the last sector of $1 is not as written"
    ok "$1: last sector"
}
discover; login; mapfile -t d < <(disks); [ ${#d[@]} = 2 ] || die "2 LUNs wanted, seen: ${d[*]}"
daemon=$(host pid) || skip "the driver has no word for what changes without a restart"; from=$(session_port)
mkfs.ext4 -qF "/dev/${d[0]}"; mount "/dev/${d[0]}" /mnt; fill /mnt 16; sums /mnt > /tmp/sums; drop
mark

host grow 0 "$NEW0" || die "host could not grow LUN 0"
told "${d[0]}"; rescan "${d[0]}" "$NEW0"
since | grep -q "${d[1]}.*Capacity" && die "LUN 1 was told of LUN 0's growth"
resize2fs "/dev/${d[0]}" 2>&1 | sed '/^$/d' | tail -1
dd if=/dev/urandom of=/mnt/big bs=1M count=$(( (${NEW0%M} - 256) / 2 )) status=none; sync
room=$(df -m /mnt | awk 'END{print $2}'); [ "$room" -gt 256 ] || die "the file system has $room MiB"
(cd /mnt && sha256sum -c --quiet /tmp/sums) || die "checksums"; umount /mnt
e2fsck -fn "/dev/${d[0]}" >/tmp/fsck 2>&1 || die "fsck: $(cat /tmp/fsck)"; ok "file system grown online to $room MiB, data intact, fsck clean"
last_sector "${d[0]}"

verify_until_told "${d[1]}" 32; sleep 1
host grow 1 "$NEW1" || die "host could not grow LUN 1"
told "${d[1]}"; rescan "${d[1]}" "$NEW1"; verify_end; last_sector "${d[1]}"

[ "$(host pid)" = "$daemon" ] || die "the target was restarted"
[ "$(session_port)" = "$from" ] || die "the session is another: it had to log in again"
since | grep -iE "$TROUBLE" && die "the kernel logged trouble"
ok "same daemon, same session"; logout
