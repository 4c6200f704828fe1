//! Calls of functions that a guest exports.
//!
//! ```text
//!   Caller ──Call──► Calls ──beside `run`, in the same store──► the guest ──► reply
//! ```
//!
//! The instance of a command of WASI 0.3 takes calls while its `run` is under way: what it answers is about itself. One
//! of 0.2 can do one thing at a time; a fresh instance in the same container is called in its place, as for any exec.
//!
//! A call cannot be taken back: a guest that does not return goes on. So calls are counted until the guest has returned,
//! whether anybody still waits or not.

use std::pin::pin;
use std::sync::Arc;

use futures::stream::{FuturesUnordered, StreamExt as _};
use nacelle_container::ExitCause;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use wasmtime::Store;
use wasmtime::component::{Accessor, ComponentExportIndex, Instance, InstancePre};

use crate::state::GuestState;
use crate::trap::Ended;

/// How many calls an instance may be in at a time.
const UNDER_WAY: usize = 32;
/// The most bytes of an error's text that are kept.
const MAX_TEXT: usize = 16 * 1024;

/// What such a function returns.
pub(crate) type Returned = Result<(), String>;

struct Call {
    function: ComponentExportIndex,
    reply: oneshot::Sender<wasmtime::Result<Returned>>,
    _permit: OwnedSemaphorePermit,
}

/// Where calls are made.
#[derive(Clone)]
pub(crate) struct Caller {
    calls: mpsc::Sender<Box<Call>>,
    permits: Arc<Semaphore>,
}

/// Where calls come in.
pub(crate) struct Calls(mpsc::Receiver<Box<Call>>);

/// Why a call has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CallError {
    /// Earlier ones have not returned.
    #[error("{UNDER_WAY} earlier calls have not returned yet")]
    Busy,
    /// The instance has ended.
    #[error("the container has ended")]
    Ended,
}

/// Both ends.
pub(crate) fn calls() -> (Caller, Calls) {
    let (calls, incoming) = mpsc::channel(UNDER_WAY);
    (Caller { calls, permits: Arc::new(Semaphore::new(UNDER_WAY)) }, Calls(incoming))
}

impl Caller {
    /// Calls a function on the instance that runs.
    pub(crate) async fn call(&self, function: ComponentExportIndex) -> Result<Ended, CallError> {
        let permit = Arc::clone(&self.permits).try_acquire_owned().map_err(|_| CallError::Busy)?;
        let (reply, answer) = oneshot::channel();
        let call = Box::new(Call { function, reply, _permit: permit });
        self.calls.send(call).await.map_err(|_| CallError::Ended)?;
        match answer.await {
            // A trap is the container's end, and in its log.
            Ok(Err(_)) | Err(_) => Err(CallError::Ended),
            Ok(Ok(returned)) => Ok(ended(returned)),
        }
    }
}

impl Calls {
    /// Drives `run` to its end, and answers what comes meanwhile.
    pub(crate) async fn beside<T>(
        self,
        accessor: &Accessor<GuestState>,
        instance: Instance,
        run: impl Future<Output = T>,
    ) -> T {
        let Self(mut calls) = self;
        let mut run = pin!(run);
        let mut under_way = FuturesUnordered::new();
        loop {
            tokio::select! {
                biased;
                result = &mut run => return result,
                Some(()) = under_way.next(), if !under_way.is_empty() => {}
                Some(call) = calls.recv() => under_way.push(answer(accessor, instance, *call)),
            }
        }
    }
}

async fn answer(accessor: &Accessor<GuestState>, instance: Instance, call: Call) {
    let Call { function, reply, _permit } = call;
    let function = accessor.with(|access| instance.get_typed_func::<(), (Returned,)>(access, function));
    let returned = match function {
        Ok(function) => function.call_concurrent(accessor, ()).await.map(|(returned,)| returned),
        Err(error) => Err(error),
    };
    // Who asked may have gone.
    let _ = reply.send(returned);
}

/// What a function's result is as the end of a program: an error is its words, and 1.
pub(crate) fn ended(returned: Returned) -> Ended {
    match returned {
        Ok(()) => ExitCause::Exited { code: 0 }.into(),
        Err(mut text) => {
            text.truncate(text.floor_char_boundary(MAX_TEXT));
            Ended { cause: ExitCause::Exited { code: 1 }, report: Some(text) }
        }
    }
}

/// Calls a function on a fresh instance.
pub(crate) async fn call(
    store: &mut Store<GuestState>,
    component: &InstancePre<GuestState>,
    function: ComponentExportIndex,
) -> wasmtime::Result<Returned> {
    let instance = component.instantiate_async(&mut *store).await?;
    store.data_mut().memory.instantiated();
    let function = instance.get_typed_func::<(), (Returned,)>(&mut *store, function)?;
    let (returned,) = function.call_async(&mut *store, ()).await?;
    Ok(returned)
}
