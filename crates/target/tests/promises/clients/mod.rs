//! Initiators of the field, each in a file of its own: their login, key by key, and their first commands, byte for
//! byte, with what they demand of the answers. What they send is known from their sources.

mod script;

mod edk2;
mod esxi;
mod everyone;
mod freebsd;
mod ipxe;
mod linux_sd;
mod macos;
mod netbsd;
mod open_iscsi;
mod windows;
mod windows_cluster;
mod windows_storage;
