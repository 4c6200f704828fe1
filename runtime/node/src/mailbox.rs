//! Channels without bound for what is told to one pod: seldom, and little.
//!
//! A channel of tokio's takes room for 32 messages as soon as it is made, which for large ones and thousands of idle pods
//! is more than everything else a pod has. Here messages lie on the heap, and a channel without any is small.

use tokio::sync::mpsc;

/// Where messages are put in.
pub(crate) struct Sender<T>(mpsc::UnboundedSender<Box<T>>);

/// Where they come out.
pub(crate) struct Receiver<T>(mpsc::UnboundedReceiver<Box<T>>);

/// A new channel.
pub(crate) fn mailbox<T>() -> (Sender<T>, Receiver<T>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (Sender(sender), Receiver(receiver))
}

impl<T> Sender<T> {
    /// Puts a message in. Gone when there is no receiver any more.
    pub(crate) fn send(&self, message: T) {
        // Whoever has stopped to listen has nothing left to decide.
        let _ = self.0.send(Box::new(message));
    }
}

impl<T> Receiver<T> {
    /// The next message; `None` when all senders are gone. Nothing is lost when the future is dropped.
    pub(crate) async fn recv(&mut self) -> Option<T> {
        self.0.recv().await.map(|message| *message)
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
