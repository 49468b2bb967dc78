//! Data that an initiator sends for a command: solicited or not (RFC 7143 §11.7).

use super::host::Host;
use super::task::{DataPdu, Failure, Stage};
use super::{Current, Session};
use crate::pdu::{RejectReason, layout};
use crate::transmit::Transmitter;

impl<B: AsRef<[u8]> + AsMut<[u8]>> Session<B> {
    /// Takes a Data-Out's header. Its LUN field is not looked at: Windows does not set it reliably.
    pub(super) fn data_out(&mut self) -> Current {
        let header = layout::DataOut::of(&self.header);
        let length = layout::BasicHeader::of(&self.header).data_length() as u32;
        let tag = header.initiator_task_tag.get();
        let Some(task) = self.tasks.get_mut(tag).filter(|task| task.stage == Stage::Gathering) else {
            // Data of a task that was aborted may still be on their way; of any other they make no sense.
            let known = self.aborted.contains(&tag);
            return Current::Drop { reject: (!known).then_some(RejectReason::InvalidPduField) };
        };
        if let Err(failure) = task.data.check(&header, length) {
            task.data.fail(failure);
        }
        Current::DataOut { tag, pdu: DataPdu { length, last: header.flags & 0x80 != 0 }, came: 0 }
    }

    /// A Data-Out is complete, or was damaged on its way: then its task fails, once all that was asked for has come
    /// (RFC 7143 §7.8).
    pub(super) fn end_data_out(
        &mut self,
        tag: u32,
        pdu: DataPdu,
        intact: bool,
        out: &mut Transmitter<B>,
        host: &mut impl Host<Buffer = B>,
    ) {
        if !intact {
            self.reject(RejectReason::DataDigestError, out);
        }
        let Some(task) = self.tasks.get_mut(tag) else { return };
        if !intact {
            task.data.fail(Failure::ServiceCrcError);
        }
        task.data.end_pdu(pdu);
        self.expect_data();
        self.gather(tag, out, host);
    }
}
