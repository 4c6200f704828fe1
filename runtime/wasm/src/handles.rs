//! What the host keeps behind a guest's handles, charged to its container.
//!
//! Two things grow as the guest likes, and wasmtime's table tells of neither:
//!
//! | what | is charged | until |
//! |---|---|---|
//! | places of the table | [`PLACE`] each, in steps, before they are used | the store is dropped: the table never shrinks |
//! | texts: fields of HTTP messages, methods and targets of requests | when they are handed over, as an upper bound | the table is looked through, for what of them is still there |
//!
//! The table is looked through when as much was handed over since the last time as was found then, so that what each
//! text costs does not depend on how many there are. What an idle guest needs of either is part of what an instance is
//! charged with.

use std::any::Any;
use std::sync::Arc;

use http::HeaderMap;
use nacelle_infra::budget::{Budget, LEDGER_STEP, OverBudget};
use nacelle_infra::memory::Part;
use wasmtime::component::ResourceTable;
use wasmtime_wasi_http::p2::bindings::http::types::Method;
use wasmtime_wasi_http::p2::types::{HostIncomingResponse, HostOutgoingRequest, HostOutgoingResponse};
use wasmtime_wasi_http::{FieldMap, p3};

use crate::memory::{MemoryRefused, MemoryShare};

/// The most host resources (files, sockets, streams, …) that a guest may hold at a time.
const MAX_RESOURCES: usize = 100_000;
/// The most handles of a guest: those of the host's resources, of its own, and those lent for the time of a call. More
/// than resources, since a guest is told when those run out, and ends when handles do.
pub(crate) const MAX_HANDLES: usize = 2 * MAX_RESOURCES;

/// Bytes that one resource is charged with: its place, its value, the guest's handle.
const PLACE: u64 = 512;
/// Places that are part of what an instance is charged with.
const FIRST_PLACES: usize = 64;
/// Places that there are at once: one request of HTTP needs them, and a table that grows is copied each time.
const USUAL_PLACES: usize = 16;
/// Places that are charged at a time.
const MORE_PLACES: usize = 32;
/// Places beyond those that are charged, for calls of the host that make more than one resource, and for those between two
/// looks.
const SPARE_PLACES: usize = 64;
/// How many calls of the host have the table for each look at whether there is room. A look each time took 3 % of what a
/// short HTTP request takes.
const CALLS_PER_LOOK: u32 = 8;

/// Bytes of texts that are part of what an instance is charged with.
const FIRST_TEXTS: u64 = 8 * 1024;
/// Bytes of a field besides its words: its places in a map of fields, which has up to twice as many as it needs.
const FIELD: usize = 256;

/// A guest's handles.
pub(crate) struct Handles {
    table: ResourceTable,
    /// Resources that there are places for.
    places: usize,
    /// Calls of the host until it is looked at whether there is room.
    calls: u32,
    texts: Texts,
}

/// Bytes of texts.
struct Texts {
    budget: Arc<Budget>,
    charged: u64,
    /// What was found the last time, and what was handed over since.
    kept: u64,
}

impl Handles {
    /// None yet.
    pub(crate) fn new(memory: &MemoryShare) -> Self {
        let texts = Texts { budget: Arc::clone(memory.part(Part::Buffers)), charged: 0, kept: 0 };
        Self { table: ResourceTable::with_capacity(USUAL_PLACES), places: FIRST_PLACES, calls: 0, texts }
    }

    /// The table, with room for more where `memory` has some: without, what makes a resource is told that it is full.
    pub(crate) fn table(&mut self, memory: &mut MemoryShare) -> &mut ResourceTable {
        if let Some(calls) = self.calls.checked_sub(1) {
            self.calls = calls;
        } else {
            self.look(memory);
        }
        &mut self.table
    }

    /// Looks whether there is room for more, and makes some.
    fn look(&mut self, memory: &mut MemoryShare) {
        loop {
            // The only way to find out. It takes no memory.
            self.table.set_max_capacity(self.places);
            if let Ok(place) = self.table.push(()) {
                let _ = self.table.delete(place);
                self.table.set_max_capacity(self.places + SPARE_PLACES);
                self.calls = CALLS_PER_LOOK - 1;
                break;
            }
            if self.places >= MAX_RESOURCES || !memory.take(bytes(MORE_PLACES).saturating_mul(PLACE)) {
                break;
            }
            self.places += MORE_PLACES;
        }
    }

    /// Charges `more` bytes of texts that the guest hands over.
    ///
    /// # Errors
    /// [`MemoryRefused`] where there is no memory for them.
    pub(crate) fn keep(&mut self, more: usize) -> Result<(), MemoryRefused> {
        let more = bytes(more);
        if self.texts.room() < more {
            self.texts.kept = bytes(self.table.iter_mut().map(|resource| texts(resource)).sum());
            self.texts.make_room(more)?;
        }
        self.texts.kept = self.texts.kept.saturating_add(more);
        Ok(())
    }

    /// Charges `more` bytes of texts that are there already, whatever the limits say.
    pub(crate) fn found(&mut self, more: usize) {
        if self.keep(more).is_err() {
            let more = bytes(more);
            self.texts.budget.force(more);
            self.texts.charged = self.texts.charged.saturating_add(more);
            self.texts.kept = self.texts.kept.saturating_add(more);
        }
    }
}

impl Texts {
    fn room(&self) -> u64 {
        self.charged.saturating_add(FIRST_TEXTS).saturating_sub(self.kept)
    }

    /// Makes room for `more`, and where there is memory for as much again as is there already.
    fn make_room(&mut self, more: u64) -> Result<(), OverBudget> {
        let needed = self.kept.saturating_add(more).saturating_sub(FIRST_TEXTS);
        let wanted = needed.saturating_add(self.kept.max(LEDGER_STEP));
        if self.charged > wanted {
            self.budget.release(self.charged - wanted);
            self.charged = wanted;
        } else if self.budget.try_charge(wanted - self.charged).is_ok() {
            self.charged = wanted;
        } else if needed > self.charged {
            self.budget.charge(needed - self.charged)?;
            self.charged = needed;
        }
        Ok(())
    }
}

impl Drop for Texts {
    fn drop(&mut self) {
        self.budget.release(self.charged);
    }
}

/// Bytes of the texts that a resource holds.
fn texts(resource: &(dyn Any + Send)) -> usize {
    if let Some(map) = resource.downcast_ref::<FieldMap>() {
        fields(map)
    } else if let Some(request) = resource.downcast_ref::<HostOutgoingRequest>() {
        let method = if let Method::Other(name) = &request.method { name.len() } else { 0 };
        let target = [&request.authority, &request.path_with_query].into_iter().flatten().map(String::len);
        method + target.sum::<usize>() + fields(&request.headers)
    } else if let Some(response) = resource.downcast_ref::<HostOutgoingResponse>() {
        fields(&response.headers)
    } else if let Some(response) = resource.downcast_ref::<HostIncomingResponse>() {
        fields(&response.headers)
    } else if let Some(request) = resource.downcast_ref::<p3::Request>() {
        let authority = request.authority.as_ref().map_or(0, |authority| authority.as_str().len());
        let path = request.path_with_query.as_ref().map_or(0, |path| path.as_str().len());
        request.method.as_str().len() + authority + path + fields(&request.headers)
    } else if let Some(response) = resource.downcast_ref::<p3::Response>() {
        fields(&response.headers)
    } else {
        0
    }
}

/// Bytes that these fields take.
pub(crate) fn fields(map: &HeaderMap) -> usize {
    map.iter().map(|(name, value)| field(name.as_str().len(), value.len())).sum()
}

/// Bytes that a field with so long a name and value takes.
pub(crate) fn field(name: usize, value: usize) -> usize {
    name.saturating_add(value).saturating_add(FIELD)
}

fn bytes(size: usize) -> u64 {
    u64::try_from(size).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use nacelle_infra::memory::ContainerMemory;

    use super::*;
    use crate::memory::INSTANCE;

    fn share(limit: u64) -> (Arc<ContainerMemory>, MemoryShare) {
        let memory = ContainerMemory::unlimited();
        memory.set_limit(Some(INSTANCE + limit)).unwrap();
        let share = MemoryShare::new(&memory).unwrap();
        (memory, share)
    }

    /// How many more than are charged there may be, where each call of the host makes one and none goes meanwhile.
    const UNLOOKED: usize = CALLS_PER_LOOK as usize - 1;

    #[test]
    fn places_are_charged_and_run_out() {
        let (memory, mut share) = share(100 * 1024);
        let mut handles = Handles::new(&share);
        let mut made = Vec::new();
        while let Ok(resource) = handles.table(&mut share).push(7_u8) {
            made.push(resource);
        }
        // 100 KiB are 6 steps of 16 KiB.
        let charged = FIRST_PLACES + 6 * MORE_PLACES;
        assert_eq!(memory.used(), INSTANCE + 96 * 1024);
        assert!((charged..=charged + UNLOOKED).contains(&made.len()), "{}", made.len());
        assert!(share.refusal().is_some());
        // Once they have run out, it is looked each time.
        assert!((0..100).all(|_| handles.table(&mut share).push(7_u8).is_err()));
        handles.table(&mut share).delete(made.pop().unwrap()).unwrap();
        handles.table(&mut share).push(7_u8).unwrap();
        drop((handles, share));
        assert_eq!(memory.used(), 0);
    }

    #[test]
    fn there_are_never_more_than_the_most() {
        let memory = ContainerMemory::unlimited();
        let mut share = MemoryShare::new(&memory).unwrap();
        let mut handles = Handles::new(&share);
        let count = (0..).take_while(|_| handles.table(&mut share).push(7_u8).is_ok()).count();
        assert!((MAX_RESOURCES..MAX_RESOURCES + MORE_PLACES + UNLOOKED).contains(&count), "{count}");
        assert!(share.refusal().is_none(), "it was not memory");
    }

    #[test]
    fn texts_are_charged_while_they_are_there() {
        let (memory, mut share) = share(1 << 20);
        let mut handles = Handles::new(&share);
        let word = "x".repeat(10_000);
        let made = |handles: &mut Handles, share: &mut MemoryShare| {
            handles.keep(field(1, word.len()))?;
            let mut map = FieldMap::new_mutable(128 * 1024);
            map.append_raw("a".parse().unwrap(), word.parse().unwrap()).unwrap();
            Ok::<_, MemoryRefused>(handles.table(share).push(map).unwrap())
        };
        // Those that are gone are found to be.
        for _ in 0..1000 {
            let gone = made(&mut handles, &mut share).unwrap();
            handles.table(&mut share).delete(gone).unwrap();
        }
        assert!(memory.used() < INSTANCE + 64 * 1024, "{}", memory.used());
        let mut kept = Vec::new();
        let refused = loop {
            match made(&mut handles, &mut share) {
                Ok(one) => kept.push(one),
                Err(refused) => break refused,
            }
        };
        assert!((95..=105).contains(&kept.len()), "{}", kept.len());
        assert!(refused.asked > refused.limit);
        drop((handles, share));
        assert_eq!(memory.used(), 0);
    }

    #[test]
    fn what_requests_hold_counts() {
        let request = HostOutgoingRequest {
            method: Method::Other("M".repeat(10)),
            scheme: None,
            authority: Some("a".repeat(100)),
            path_with_query: Some("/".repeat(1000)),
            headers: FieldMap::default(),
            body: None,
        };
        assert_eq!(texts(&request), 1110);
        assert_eq!(texts(&7_u8), 0);
    }
}
