# sg - sg3-utils on the kernel's own initiator: what is asked of a disk besides reading and writing.
#@ LUN_SIZES=64M 64M
#@ TIMEOUT=180
discover; login; mapfile -t d < <(disks); [ ${#d[@]} = 2 ] || die "2 LUNs wanted, seen: ${d[*]}"
A=/dev/${d[0]}; B=/dev/${d[1]}
generic() { local g; for g in "/sys/block/${1#/dev/}/device/scsi_generic/"*; do echo "/dev/${g##*/}"; done; }
says() { # says WHAT PATTERN COMMAND…: the command succeeds and says this
    local what=$1 pattern=$2; shift 2
    "$@" > /tmp/said 2>&1 || die "$what: status $?: $(cat /tmp/said)"
    grep -qiE -- "$pattern" /tmp/said || die "$what: no $pattern in: $(cat /tmp/said)"
    ok "$what"
}
ends() { # ends WHAT STATUS COMMAND…: the command ends with this status of sg3-utils
    local what=$1 wanted=$2 status=0; shift 2
    "$@" > /tmp/said 2>&1 || status=$?
    [ $status = "$wanted" ] || die "$what: status $status, wanted $wanted: $(cat /tmp/said)"
    ok "$what"
}
same() { cmp "$1" "$2" || die "$3"; ok "$3"; }
read_blocks() { dd if="$1" of="$2" bs=512 skip="$3" count="$4" iflag=direct status=none || die "can't read $1"; }

says "opcodes" 'Compare and write' sg_opcodes "$A"
says "opcodes: reservations by their service actions" 'Persistent reserve out, register and move' sg_opcodes "$A"
says "opcodes: with timeouts" 'Extended copy' sg_opcodes --rctd "$A"
says "task management functions" 'Logical unit reset' sg_opcodes --tmf "$A"
says "INQUIRY: TPGS and 3PC" 'TPGS=1.*3PC=1' sg_inq "$A"
for page in sv di bl bdc lbpv sn 0x8f; do ends "VPD page $page" 0 sg_vpd -p "$page" "$A"; done
says "block limits" 'Maximum compare and write length: 255' sg_vpd -p bl "$A"
says "identification: target port group" 'Target port group: 0x1' sg_vpd -p di "$A"
says "mode pages" 'Caching' sg_modes -a "$A"
says "log pages" 'General statistics' sg_logs "$A"
says "log: statistics" 'number of read commands' sg_logs -p 0x19 "$A"
says "log: exceptions" 'IE asc = 0x0' sg_logs -p 0x2f "$A"
says "log: start-stop cycles" 'start-stop cycles' sg_logs -p 0xe "$A"
says "log: provisioning" 'Available LBA mapping threshold' sg_logs -p 0xc "$A"
says "mode page: thresholds" '0x1c,0x2|1c,02|[Ll]ogical block provisioning' sg_modes -p 0x1c,2 "$A"
says "threshold sets" 'Threshold exponent: 11' sg_vpd -p lbpv "$A"
says "timestamp" '^1[0-9]{12}$' sg_timestamp "$A"
ends "timestamp: set" 0 sg_timestamp --milliseconds=1000 "$A"
says "target port groups" 'active/optimized' sg_rtpg --decode "$A"
ends "request sense" 0 sg_requests "$A"
ends "start" 0 sg_start --start "$A"

dd if=/dev/urandom of=/tmp/new bs=512 count=2 status=none
read_blocks "$A" /tmp/old 8 2; cat /tmp/old /tmp/new > /tmp/both
ends "compare and write" 0 sg_compare_and_write --in=/tmp/both --lba=8 --num=2 --xferlen=2048 "$A"
read_blocks "$A" /tmp/now 8 2; same /tmp/now /tmp/new "what compare and write wrote is there"
ends "compare and write: what is there is another" 14 sg_compare_and_write --in=/tmp/both --lba=8 --num=2 --xferlen=2048 "$A"
ends "verify" 0 sg_verify --lba=8 --count=2 "$A"

says "block limits: atomic writes" 'Maximum atomic transfer length: 2048' sg_vpd -p bl "$A"
ends "write atomic" 0 sg_write_x --16 --atomic=0 --in=/tmp/new --lba=300 --num=2 "$A"
read_blocks "$A" /tmp/now 300 2; same /tmp/now /tmp/new "what it wrote is there"
ends "write atomic with a boundary" 5 sg_write_x --16 --atomic=1 --in=/tmp/new --lba=300 --num=2 "$A"

dd if=/dev/urandom of=/tmp/block bs=512 count=1 status=none
ends "write same" 0 sg_write_same --lba=64 --num=16 --in=/tmp/block --xferlen=512 "$A"
read_blocks "$A" /tmp/now 79 1; same /tmp/now /tmp/block "its last block is there"
says "LBA status: mapped" 'mapped' sg_get_lba_status --lba=64 "$A"
ends "write same with unmap" 0 sg_write_same --unmap --lba=64 --num=64 --xferlen=512 "$A"
read_blocks "$A" /tmp/now 64 1; same /tmp/now <(head -c 512 /dev/zero) "it reads as zeros"
says "LBA status: not mapped" 'unmapped|deallocated' sg_get_lba_status --lba=64 "$A"
ends "unmap" 0 sg_unmap --lba=0 --num=64 --force "$A"
read_blocks "$A" /tmp/now 8 1; same /tmp/now <(head -c 512 /dev/zero) "what was unmapped reads as zeros"

ends "write same of 32 bytes" 0 sg_write_same --32 --lba=128 --num=16 --in=/tmp/block --xferlen=512 "$A"
read_blocks "$A" /tmp/now 143 1; same /tmp/now /tmp/block "its last block is there, too"
ends "read of 32 bytes" 0 sg_raw --request=512 --outfile=/tmp/now "$(generic "$A")" \
    7f 00 00 00 00 00 00 18 00 09 00 00 00 00 00 00 00 00 00 8f 00 00 00 00 00 00 00 00 00 00 00 01
same /tmp/now /tmp/block "it is what was written"
says "LBA status of 32 bytes" 'mapped' sg_get_lba_status --32 --lba=128 "$A"
says "LBA status: of a type" 'unmapped|deallocated' sg_get_lba_status --report-type=3 "$A"

dd if=/dev/urandom of="$A" bs=1M count=8 oflag=direct status=none
says "copy operating parameters" 'Maximum segment descriptor count: 64' sg_copy_results --params "$A"
ends "copy from one logical unit to another" 0 sg_xcopy if="$(generic "$A")" of="$(generic "$B")" bs=512 count=16384
cmp -n $((8 << 20)) "$A" "$B" || die "the copy is another"; ok "the copy is the same"
ends "write buffer" 0 sg_write_buffer --mode=0xa --in=/tmp/block --length=512 "$A"
head -c 64 /dev/zero | tr '\0' 'p' > /tmp/pattern
ends "sanitize by overwriting" 0 sg_sanitize --quick --wait --overwrite --pattern=/tmp/pattern --ipl=64 --count=2 --invert "$B"
read_blocks "$B" /tmp/now 16383 1; same /tmp/now <(head -c 512 /dev/zero | tr '\0' '\217') "the inverted pattern is there"
ends "sanitize in the background" 0 sg_sanitize --quick --early --block "$B"
for _ in $(seq 50); do sg_turs "$B" > /dev/null 2>&1 && break; sleep 0.2; done
read_blocks "$B" /tmp/now 16383 1; same /tmp/now <(head -c 512 /dev/zero) "nothing is left of it"
says "LBA status: nothing is mapped" 'unmapped|deallocated' sg_get_lba_status --lba=16383 "$B"
ends "nothing failed" 0 sg_sanitize --quick --early --fail "$B"
ends "format" 0 sg_format --format --quick --wait "$A"
read_blocks "$A" /tmp/now 100 1; same /tmp/now <(head -c 512 /dev/zero) "a format gives all back"
ends "reset of the logical unit" 0 sg_reset --device "$A"
logout
