//! Pages as a shelf holds them: of records, and of names.

use latchkey_snapshot::node::PageRef;
use latchkey_snapshot::{Kind, Names, ObjectError, Page};

/// What a page of a shelf can be.
pub(crate) trait Leaf: Sized + Clone {
    fn parse(kind: Kind, page: &PageRef, bytes: &[u8]) -> Result<Self, LeafError>;
    /// Its bytes as they came, where it holds them so.
    fn len_bytes(&self) -> usize;
    /// Bytes of memory that a page of this length takes, about.
    fn weight(page: &PageRef) -> usize;
}

/// Why bytes are no page of the shelf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LeafError {
    Object(ObjectError),
    Records,
}

impl Leaf for Page {
    fn parse(kind: Kind, page: &PageRef, bytes: &[u8]) -> Result<Self, LeafError> {
        let parsed = Page::parse(kind, &page.object, bytes.into()).map_err(LeafError::Object)?;
        if parsed.records() == page.records as usize { Ok(parsed) } else { Err(LeafError::Records) }
    }

    fn len_bytes(&self) -> usize {
        Page::len_bytes(self)
    }

    fn weight(page: &PageRef) -> usize {
        page.object.len_bytes() as usize
    }
}

impl Leaf for Names {
    fn parse(kind: Kind, page: &PageRef, bytes: &[u8]) -> Result<Self, LeafError> {
        let parsed = Names::parse(kind, &page.object, bytes).map_err(LeafError::Object)?;
        let records = match &parsed {
            Names::Projects(list) => list.len(),
            Names::Organizations(list) => list.len(),
        };
        if records == page.records as usize { Ok(parsed) } else { Err(LeafError::Records) }
    }

    fn len_bytes(&self) -> usize {
        0
    }

    /// Names are held one by one, with room for the longest slug.
    fn weight(page: &PageRef) -> usize {
        3 * page.object.len_bytes() as usize
    }
}
