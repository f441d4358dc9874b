//! Signals: the first that ends drains, the second aborts; SIGHUP reads the configuration anew.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Waits for SIGTERM, SIGINT and SIGHUP.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    /// From here on the signals no longer end the process by themselves.
    pub fn install() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// The name of the next signal that ends the program.
    pub async fn next(&mut self) -> &'static str {
        self.next_and(&|| {}).await
    }

    /// As [`Self::next`]; does something at each SIGHUP before.
    pub async fn next_and(&mut self, on_hang_up: &dyn Fn()) -> &'static str {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return "SIGTERM",
                _ = self.interrupt.recv() => return "SIGINT",
                _ = self.hang_up.recv() => on_hang_up(),
            }
        }
    }
}
