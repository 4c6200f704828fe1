//! Channels without bound for what is told of one pod: seldom, and little.
//!
//! A channel of tokio's takes room for 32 messages as soon as it is made, and keeps its two ends on cache lines of their
//! own: for thousands of idle pods that is more than most else they have. Here each message is an allocation, and a channel
//! without any is small.

use futures::StreamExt as _;
use futures::channel::mpsc;

/// Where messages are put in.
pub struct Sender<T>(mpsc::UnboundedSender<T>);

/// Where they come out.
pub struct Receiver<T>(mpsc::UnboundedReceiver<T>);

/// A new channel.
pub fn mailbox<T>() -> (Sender<T>, Receiver<T>) {
    let (sender, receiver) = mpsc::unbounded();
    (Sender(sender), Receiver(receiver))
}

impl<T> Sender<T> {
    /// Puts a message in. Gone when there is no receiver any more.
    pub fn send(&self, message: T) {
        // Whoever has stopped to listen has nothing left to decide.
        let _ = self.0.unbounded_send(message);
    }
}

impl<T> Receiver<T> {
    /// The next message; `None` when all senders are gone. Nothing is lost when the future is dropped.
    pub async fn recv(&mut self) -> Option<T> {
        self.0.next().await
    }

    /// A message that is there already.
    pub fn try_recv(&mut self) -> Option<T> {
        self.0.try_recv().ok()
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> std::fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sender")
    }
}

impl<T> std::fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Receiver")
    }
}
