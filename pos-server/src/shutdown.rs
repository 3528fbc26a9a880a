//! One handle that says "end now" to every part, without a process-wide switch.

use tokio::sync::watch;

/// Asks for the end; dropping it asks too.
#[derive(Debug)]
pub struct Trigger(watch::Sender<bool>);

/// Hears the end asked for. Clones hear the same trigger.
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Receiver<bool>);

/// A trigger and what hears it.
pub fn channel() -> (Trigger, Shutdown) {
    let (sender, receiver) = watch::channel(false);
    (Trigger(sender), Shutdown(receiver))
}

impl Trigger {
    /// Asks every holder of the [`Shutdown`] to finish what it has begun and to end.
    pub fn pull(&self) {
        self.0.send_replace(true);
    }
}

impl Shutdown {
    /// Returns as soon as the end was asked for, at once when it already was.
    pub async fn asked(&mut self) {
        // An error means that the trigger is gone, and with it whoever could still need us.
        let _ = self.0.wait_for(|asked| *asked).await;
    }

    /// Whether the end was asked for.
    pub fn is_asked(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }
}

/// How a part that cannot go on, above all the store after a failed sync, ends the process. Clones
/// are one handle.
#[derive(Clone, Debug)]
pub struct Halt(watch::Sender<Option<&'static str>>);

impl Default for Halt {
    fn default() -> Self {
        Self(watch::Sender::new(None))
    }
}

impl Halt {
    /// Makes the server end with a code that is not 0, so that its supervisor starts it again on
    /// what is on the disk. `reason` is a constant sentence; the first one given is kept.
    pub fn halt(&self, reason: &'static str) {
        self.0.send_if_modified(|kept| {
            let is_first = kept.is_none();
            kept.get_or_insert(reason);
            is_first
        });
    }

    /// The reason, as soon as there is one.
    pub async fn asked(&self) -> &'static str {
        let mut hears = self.0.subscribe();
        let kept = hears.wait_for(Option::is_some).await;
        kept.ok().and_then(|reason| *reason).expect("this handle keeps the channel open")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_clone_hears_the_trigger_and_its_drop() {
        let (trigger, mut one) = channel();
        let mut other = one.clone();
        assert!(!one.is_asked());
        trigger.pull();
        one.asked().await;
        other.asked().await;
        assert!(one.is_asked() && other.is_asked());

        let (trigger, mut hears) = channel();
        drop(trigger);
        hears.asked().await;
        assert!(hears.is_asked());
    }

    #[tokio::test]
    async fn a_halt_keeps_its_first_reason() {
        let halt = Halt::default();
        let (reason, ()) = tokio::join!(halt.asked(), async {
            let other = halt.clone();
            other.halt("the disk is gone");
            other.halt("and so is the rest");
        });
        assert_eq!(reason, "the disk is gone");
        assert_eq!(halt.asked().await, "the disk is gone");
    }
}
