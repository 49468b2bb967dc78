//! What arrives at either end, and what becomes of ends.

use std::time::Duration;

use timedisk_iscsi::connection::Progress;

use super::World;
use crate::house::LinkId;

impl World {
    pub(super) fn arrive_at_target(&mut self, id: LinkId) {
        let Some(link) = self.links.get_mut(&id) else { return };
        let Some(piece) = link.to_target.receive(self.now) else { return };
        let Some(server) = &mut link.server else { return };
        let now = Duration::from_micros(self.now);
        let mut rest = &piece[..];
        while !rest.is_empty() && server.connection.wants_to_receive() {
            let [direct, staging] = server.connection.receive_space();
            let room = direct.len();
            let first = room.min(rest.len());
            direct[..first].copy_from_slice(&rest[..first]);
            let second = staging.len().min(rest.len() - first);
            staging[..second].copy_from_slice(&rest[first..first + second]);
            if first + second == 0 {
                // All is full: first something has to be sent.
                link.to_target.give_back(self.now, rest);
                break;
            }
            server.connection.received(first + second, room, now);
            rest = &rest[first + second..];
            while server.connection.proceed(4096, now, &mut server.guest) == Progress::Stopped {
                let mut slices = [std::io::IoSlice::new(&[]); 16];
                let count = server.connection.fill(&mut slices);
                let mut bytes = Vec::new();
                slices[..count].iter().for_each(|slice| bytes.extend_from_slice(slice));
                let taken = link.to_client.send(self.now, &bytes, &mut self.random);
                server.connection.sent(taken);
                if taken == 0 {
                    // The socket is full. The rest of what was received is gone through when there is room.
                    break;
                }
            }
        }
        self.pump(id);
    }

    /// The target goes on with what it has, sends what it can, and closes what is over.
    pub(super) fn pump(&mut self, id: LinkId) {
        let Some(link) = self.links.get_mut(&id) else { return };
        let Some(server) = &mut link.server else { return };
        let now = Duration::from_micros(self.now);
        loop {
            let progress = server.connection.proceed(4096, now, &mut server.guest);
            let mut taken = 0;
            while server.connection.wants_to_send() && link.to_client.has_room() {
                let mut slices = [std::io::IoSlice::new(&[]); 16];
                let count = server.connection.fill(&mut slices);
                let mut bytes = Vec::new();
                slices[..count].iter().for_each(|slice| bytes.extend_from_slice(slice));
                let part = link.to_client.send(self.now, &bytes, &mut self.random);
                server.connection.sent(part);
                taken += part;
                for chunk in bytes[..part].chunks(64) {
                    let word = chunk.iter().fold(self.report.trace, |sum, byte| {
                        sum.rotate_left(7) ^ u64::from(*byte).wrapping_mul(0x9e37_79b9_7f4a_7c15)
                    });
                    self.report.trace = word;
                }
            }
            if progress == Progress::AllDone || taken == 0 {
                break;
            }
        }
        server.connection.take_events();
        if server.connection.is_over() {
            self.close_server(id);
        }
    }

    pub(super) fn close_server(&mut self, id: LinkId) {
        let Some(link) = self.links.get_mut(&id) else { return };
        if let Some(mut server) = link.server.take() {
            server.connection.close(&mut server.guest);
            server.guest.leave();
        }
        link.is_cut = true;
        if link.to_client.is_lost {
            // The client never hears of it.
            return;
        }
        if link.to_client.next().is_none() {
            self.drop_link(id);
        }
    }

    /// The client's end notices, too.
    pub(super) fn drop_link(&mut self, id: LinkId) {
        let Some(mut link) = self.links.remove(&id) else { return };
        if let Some(mut server) = link.server.take() {
            server.connection.close(&mut server.guest);
            server.guest.leave();
        }
        let client = &mut self.clients[link.client];
        if client.link == Some(id) {
            client.disconnected(self.now, &mut self.history);
        }
    }

    pub(super) fn close_replaced(&mut self) {
        let replaced = std::mem::take(&mut self.house.borrow_mut().replaced);
        for id in replaced {
            self.close_server(id);
        }
    }

    pub(super) fn arrive_at_client(&mut self, id: LinkId) -> Result<(), String> {
        let Some(link) = self.links.get_mut(&id) else { return Ok(()) };
        let (piece, number, is_cut) = (link.to_client.receive(self.now), link.client, link.is_cut);
        let is_last = is_cut && link.to_client.next().is_none();
        let client = &mut self.clients[number];
        if let Some(piece) = piece.filter(|_| client.link == Some(id)) {
            let received = client.receive(&piece, self.now, &mut self.history)?;
            if client.has_digests()
                && let Some(link) = self.links.get_mut(&id)
            {
                (link.to_target.has_digests, link.to_client.has_digests) = (true, true);
            }
            if received.is_err() {
                self.leave_link(id);
                return Ok(());
            }
        }
        if is_last {
            self.drop_link(id);
        } else {
            self.pump(id);
        }
        Ok(())
    }

    /// The client closes its end; the target may hear of it.
    pub(super) fn leave_link(&mut self, id: LinkId) {
        let Some(link) = self.links.get_mut(&id) else { return };
        let number = link.client;
        if self.clients[number].link == Some(id) {
            self.clients[number].disconnected(self.now, &mut self.history);
        }
        match link.to_target.is_lost || self.random.one_in(4) {
            // Only its patience tells the target.
            true => {
                link.to_target.lose();
                link.to_client.lose();
            }
            false => self.drop_link(id),
        }
    }
}
