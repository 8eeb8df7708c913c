//! What a replica has found out about itself: while its clock is off it is not only out of the load balancer's list (`/readyz`), it
//! signs nothing and believes nobody, so that whoever asks it all the same gets no token of another hour.

use std::sync::atomic::{AtomicBool, Ordering};

#[derive(Default)]
pub(crate) struct Watch {
    clock_is_off: AtomicBool,
}

impl Watch {
    /// Takes down how the clock was found.
    pub(crate) fn clock(&self, off: bool) {
        if self.clock_is_off.swap(off, Ordering::SeqCst) != off {
            if off {
                tracing::error!(
                    "this machine's clock is off; nobody is let in and nothing is signed until it is right"
                );
            } else {
                tracing::info!("this machine's clock is right again");
            }
        }
    }

    pub(crate) fn clock_is_off(&self) -> bool {
        self.clock_is_off.load(Ordering::SeqCst)
    }
}
