//! Fibres: functions with a stack of their own that run in the thread of their caller, one at a time.
//!
//! A fibre runs until it pauses or ends; only then does its caller go on. A fibre may resume fibres of its own. All of them
//! share the thread-local values of the thread, and its state of panicking.

use generator::{Generator, Gn};
use std::panic::resume_unwind;
use std::ptr::NonNull;
use std::sync::Once;
use std::{mem, process, thread};

/// As much as a thread has by default. Below it is a page that may not be accessed.
const STACK_LEN: usize = 2 << 20;

/// A function that can be paused.
pub(crate) struct Fibre<'a>(Option<Generator<'a, (), ()>>);

impl<'a> Fibre<'a> {
    /// A fibre that has not begun.
    pub(crate) fn new(body: impl FnOnce() + Send + 'a) -> Self {
        let mut fibre = Gn::<()>::new_opt(STACK_LEN / size_of::<usize>(), body);
        // Local data makes the generator a coroutine, which any function below its body can pause. Only whether there is
        // some matters.
        fibre.set_local_data(NonNull::dangling().as_ptr());
        Self(Some(fibre))
    }

    /// Runs it until it pauses or ends; after the end, this does nothing. A panic of the fibre goes on in the caller. If its
    /// stack overflows, the process ends: what the fibre held at that moment is never released.
    pub(crate) fn resume(&mut self) {
        let Some(fibre) = &mut self.0 else { return };
        fibre.resume();
        let Some(panic) = fibre.get_panic_data() else { return };
        if matches!(panic.downcast_ref(), Some(generator::Error::StackErr)) {
            eprintln!("a task of a simulated board needs more than {STACK_LEN} bytes of stack");
            process::abort();
        }
        resume_unwind(panic);
    }
}

impl Drop for Fibre<'_> {
    /// A fibre that has not ended keeps its stack: it can be neither resumed nor unwound any more, and other threads may
    /// know addresses in it. This happens only if the scheduler itself panics.
    fn drop(&mut self) {
        if let Some(fibre) = self.0.take_if(|fibre| !fibre.is_done()) {
            mem::forget(fibre);
        }
    }
}

/// Runs the first fibre of this process. The crate then installs a panic hook that ignores its own panics, and a handler for
/// overflows of the stack. It waits until no thread prints a panic, which must not look like a task that is stuck.
pub(crate) fn prepare() {
    static PREPARED: Once = Once::new();
    PREPARED.call_once(|| Fibre::new(|| ()).resume());
}

/// Pauses the fibre that runs: its `resume` returns to its caller.
///
/// # Panics
/// Outside of fibres, and in a destructor that runs because of a panic: other fibres would run as if they panicked, too.
pub(crate) fn pause() {
    assert!(!thread::panicking(), "a HAL call in a destructor that runs because of a panic");
    generator::co_yield_with(());
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::env;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::process::Command;
    use std::sync::Mutex;

    #[test]
    fn fibres_run_by_turns_and_may_have_fibres_of_their_own() {
        let log = Mutex::new(String::new());
        let note = |text: &str| log.lock().unwrap().push_str(text);
        let mut one = Fibre::new(|| {
            note("a");
            let mut inner = Fibre::new(|| {
                note("b");
                pause();
                note("c");
            });
            inner.resume();
            pause();
            inner.resume();
            note("d");
        });
        let mut other = Fibre::new(|| note("-"));
        one.resume();
        other.resume();
        one.resume();
        one.resume();
        assert_eq!(*log.lock().unwrap(), "ab-cd");
    }

    #[test]
    fn a_panic_goes_on_in_the_caller_and_ends_the_fibre() {
        let mut fibre = Fibre::new(|| {
            pause();
            panic!("on purpose");
        });
        fibre.resume();
        let panic = catch_unwind(AssertUnwindSafe(|| fibre.resume())).unwrap_err();
        assert_eq!(panic.downcast_ref(), Some(&"on purpose"));
        fibre.resume();
    }

    #[test]
    fn a_fibre_that_is_dropped_before_its_end_does_not_run_on() {
        let log = Mutex::new(String::new());
        let mut fibre = Fibre::new(|| {
            pause();
            log.lock().unwrap().push('a');
        });
        fibre.resume();
        drop(fibre);
        drop(Fibre::new(|| log.lock().unwrap().push('b')));
        assert_eq!(*log.lock().unwrap(), "");
    }

    #[test]
    fn an_overflow_of_the_stack_ends_the_process_with_a_reason() {
        const CHILD: &str = "REPLICATOR_TEST_OVERFLOW";
        fn without_end(depth: u64) -> u64 {
            let frame = std::hint::black_box([depth; 64]);
            if frame[0] < u64::MAX { without_end(depth + 1) + frame[1] } else { 0 }
        }
        if env::var_os(CHILD).is_some() {
            // The lock shows that the process ends even if the fibre holds one.
            let lock = Mutex::new(());
            Fibre::new(|| {
                let _guard = lock.lock();
                without_end(0);
            })
            .resume();
            drop(lock.lock());
            return;
        }
        let name = "model::time::fibre::tests::an_overflow_of_the_stack_ends_the_process_with_a_reason";
        let mut child = Command::new(env::current_exe().unwrap());
        let output = child.args(["--exact", name, "--nocapture"]).env(CHILD, "1").output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(
            text.contains("a task of a simulated board needs more than 2097152 bytes of stack"),
            "{text}"
        );
        assert_eq!(output.status.code(), None, "not ended by a signal: {}", output.status);
    }
}
