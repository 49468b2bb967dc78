//! What is known of a mirror, for each place that a member of it has, in the state directory.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::text::StateText;
use super::{place, store};
use crate::calls::FileCalls;
use crate::mirror::{Header, Witness};
use crate::{ErrorKind, Result, SystemCalls, VolumeError};

/// Key of the mirror's header.
const MIRROR: &str = "mirror";

/// A file in the state directory, named after the image of a member.
#[derive(Debug)]
pub struct FileWitness {
    calls: Arc<dyn FileCalls>,
    path: PathBuf,
}

impl FileWitness {
    /// The one for the member that begins at byte `start` of `image`, in the `height`th mirror above it, from 1.
    ///
    /// # Errors
    /// [`ErrorKind::CannotOpen`] if it can't be told in which directory the image is.
    pub fn new(directory: &Path, image: &Path, start: u64, height: usize) -> Result<Self> {
        Self::with_calls(Arc::new(SystemCalls), directory, image, start, height)
    }

    /// Like [`new`](Self::new), through `calls`.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_calls(
        calls: Arc<dyn FileCalls>,
        directory: &Path,
        image: &Path,
        start: u64,
        height: usize,
    ) -> Result<Self> {
        let name = place::name_elsewhere(image, &format!(".{start}.{height}.mirror"))?;
        Ok(Self { calls, path: directory.join(name) })
    }

    /// Where the file is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Witness for FileWitness {
    fn header(&self) -> Result<Option<Header>> {
        let Some(bytes) = store::read(&*self.calls, &self.path)? else { return Ok(None) };
        let text = StateText::parse(&bytes).ok();
        let header = text.as_ref().and_then(|text| text.value(MIRROR)).and_then(Header::parse);
        header.map(Some).ok_or_else(|| {
            let message = format!(
                "{}, which knows who the members of a mirror are, is damaged: if all members are there and none was \
                 dropped, remove it",
                self.path.display()
            );
            VolumeError::new(ErrorKind::BadState, message).at(&self.path)
        })
    }

    fn save_header(&self, header: &Header) -> Result<()> {
        let mut text = StateText::empty();
        text.set(MIRROR, &header.render());
        store::replace(&*self.calls, &self.path, &text.render())
    }
}
