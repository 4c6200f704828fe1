//! Bytes that somebody pays for while they are held.

use std::sync::Arc;

use bytes::Bytes;
use nacelle_infra::budget::Budget;

/// The bytes of a piece, and who pays for them.
struct Charged {
    bytes: Bytes,
    payer: Arc<Budget>,
}

impl AsRef<[u8]> for Charged {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Charged {
    fn drop(&mut self) {
        self.payer.release(self.bytes.len() as u64);
    }
}

/// The same bytes, charged until the last who holds a part of them lets go. It is for what is there already and bounded
/// by something else: it cannot be refused.
pub(crate) fn charged(bytes: Bytes, payer: &Arc<Budget>) -> Bytes {
    payer.force(bytes.len() as u64);
    Bytes::from_owner(Charged { bytes, payer: Arc::clone(payer) })
}
