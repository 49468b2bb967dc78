//! What the server promises, held against it over real sockets by an initiator that can misbehave.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod wire;

mod bad_input;
mod change;
mod change_of_disks;
mod clients;
mod control_mode;
mod copies;
mod data_path;
mod digests;
mod discovery;
mod errors;
mod full_house;
mod group_commit;
mod login;
mod meanwhile;
mod memory;
mod mutual;
mod overhauls;
mod points;
mod portal_groups;
mod security;
mod steps;
mod stuck_disk;
mod task_attributes;
mod task_management;
mod thin_provisioning;
mod tokens;
