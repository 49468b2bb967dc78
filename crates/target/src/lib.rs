//! iSCSI target: listeners, connections, scheduling. Moves bytes between sockets, `iscsi` and `scsi`.

#![deny(unsafe_code)]
