# multi-lun - several LUNs of different sizes on one target: all seen, right sizes, distinct identities, no crosstalk
# under parallel fio, patterns right after logout and login.
#@ LUN_SIZES=64M 100M 33M 257M
#@ TIMEOUT=240
wwid() { tr -d "\0" < "/sys/block/$1/device/wwid"; }
discover; login
read -r -a want <<<"$LUN_SIZES"; n=${#want[@]}; mapfile -t have < <(disks)
[ "${#have[@]}" = "$n" ] || die "$n LUNs wanted, ${#have[@]} disks seen: ${have[*]}"
[ "$(iscsiadm -m session | wc -l)" = 1 ] || die "more than one session for the LUNs of one target"
sg_luns "/dev/${have[0]}" || die "sg_luns"
: > /tmp/ids
for ((i = 0; i < n; i++)); do
    w=${want[i]}; m=${w%M}; got=$(blockdev --getsize64 "/dev/${have[i]}")
    [ "$got" = $((m * 1048576)) ] || die "LUN $i: $got bytes, wanted $w"
    id=$(wwid "${have[i]}"); echo "$id" >> /tmp/ids; ok "LUN $i /dev/${have[i]} $w wwid $id"
done
[ "$(sort -u /tmp/ids | wc -l)" = "$n" ] || die "two LUNs share an identity"
for ((i = 0; i < n; i++)); do # every sector says which LUN it belongs to
    yes "lun $i of $IQN" | dd of="/dev/${have[i]}" bs=1M count=16 iflag=fullblock oflag=direct status=none & p[i]=$!; done
for x in "${p[@]}"; do wait "$x" || die "parallel write"; done
logout; login; mapfile -t have < <(disks)
for ((i = 0; i < n; i++)); do
    [ "$(wwid "${have[i]}")" = "$(sed -n $((i + 1))p /tmp/ids)" ] || die "LUN $i has another identity after logout and login"
    cmp -n 16777216 "/dev/${have[i]}" <(yes "lun $i of $IQN") > /tmp/cmp 2>&1 || { head -1 /tmp/cmp; die "LUN $i: crosstalk or loss"; }; done
ok "identities and patterns right on all $n LUNs after logout and login"
for ((i = 0; i < n; i++)); do fio_verify "lun$i" --filename="/dev/${have[i]}" --size=16M & p[i]=$!; done
for x in "${p[@]}"; do wait "$x" || die "parallel fio"; done
ok "parallel fio verify"; logout
