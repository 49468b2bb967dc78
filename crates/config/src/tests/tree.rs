//! The picture of a configuration.

use super::{good, read_both};

#[test]
fn the_tree_is_netbsds_with_the_users_after_the_mask() {
    let text = "extent0 /a 512 1MB\nextent1 /b 0 size\nextent2 /my\\ disk 0 1GB\ndevice0 raid0 extent1\n\
                device1 RAID0 device0\ntarget0 rw extent0 10/8,::1 users=bob,alice\nlun1 ro device1\n\
                target2=iqn.2001-04.com.example r extent2 none\n";
    let outcome = read_both(text, Some("alice:chap:0123456789ab\nbob:chap:ba9876543210\n"));
    assert_eq!(
        outcome.configuration.unwrap().tree().to_string(),
        "target0:rw:10/8,::1 auth=chap users=bob,alice\n\textent0:/a:512:1048576\n\
         lun1:ro:any\n\tdevice1:RAID0\n\t\tdevice0:RAID0\n\t\t\textent1:/b:0:size\n\
         target2:ro:none\n\textent2:/my disk:0:1073741824\n"
    );
}

#[test]
fn the_tree_has_only_what_a_target_stands_on() {
    let text = "extent0 /a 0 1MB\nextent1 /b 0 1MB\ntarget0 rw extent1 all\n";
    assert_eq!(good(text).tree().to_string(), "target0:rw:all\n\textent1:/b:0:1048576\n");
}
