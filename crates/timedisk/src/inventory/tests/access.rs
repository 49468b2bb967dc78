//! Access states of portal groups, over reloads and restarts.

use timedisk_scsi::AccessState::{self, ActiveNonOptimized, ActiveOptimized, Offline, Standby};
use timedisk_scsi::Attention;

use super::Shop;
use crate::inventory::Inventory;

fn text(state: &str) -> String {
    format!(
        "portal1 127.0.0.1\nportal2 127.0.0.2 state={state}\nextent0 @/a 0 1MB\n\
         target0 rw extent0 any portals=1,2 alua=explicit\n"
    )
}

fn states(shop: &Shop) -> Vec<AccessState> {
    shop.unit("target0").served.unit().port_groups().iter().map(|group| group.state).collect()
}

fn told(changes: &super::Changes) -> Vec<Attention> {
    changes.attentions.iter().map(|(_, attention)| *attention).collect()
}

#[test]
fn the_file_says_how_disks_are_used_and_clients_are_told_of_changes() {
    let mut shop = Shop::new();
    assert_eq!(told(&shop.to(&text("standby"))), []);
    assert_eq!(states(&shop), [ActiveOptimized, Standby]);
    assert_eq!(shop.inventory.catalogue().targets[0].portal_groups, [1, 2]);
    assert_eq!(told(&shop.to(&text("standby"))), []);
    let changes = shop.to(&text("non-optimized"));
    assert_eq!(
        (told(&changes), changes.changed),
        (vec![Attention::AccessStateChanged], vec!["target0".into()])
    );
    assert_eq!(states(&shop), [ActiveOptimized, ActiveNonOptimized]);
}

#[test]
fn what_was_changed_by_hand_stays_until_the_file_says_otherwise() {
    let mut shop = Shop::new();
    shop.to(&text("optimized"));
    let disk = shop.inventory.find("target0").unwrap();
    let told = shop.inventory.set_access_state(disk, 2, Offline).unwrap();
    assert_eq!(told, [Attention::AccessStateChanged]);
    assert_eq!(shop.inventory.set_access_state(disk, 2, Offline).unwrap(), []);
    let error = shop.inventory.set_access_state(disk, 3, Offline).unwrap_err();
    assert_eq!(error.to_string(), "there is no portal group 3");
    shop.to(&text("optimized"));
    assert_eq!(states(&shop), [ActiveOptimized, Offline]);
    shop.inventory = Inventory::new(Some(shop.path("state")));
    shop.to(&text("optimized"));
    assert_eq!(states(&shop), [ActiveOptimized, Offline]);
    shop.to(&text("standby"));
    assert_eq!(states(&shop), [ActiveOptimized, Standby]);
}
