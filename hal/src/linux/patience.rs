//! Repeats a call while others use an object for a moment: udev, an automounter, or a child of another task, which has
//! a copy of every open descriptor until its exec. The caller decides how long to wait.

use std::time::{Duration, Instant};

/// How long and how often to try.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// Time from the first attempt to the last.
    pub(super) total: Duration,
    /// Time between two attempts.
    pub(super) interval: Duration,
}

impl Patience {
    /// Repeats `act` while `is_busy` returns true for its error and the time is not over.
    ///
    /// # Errors
    /// The error of the last attempt.
    pub(super) fn while_busy<T, E>(
        self,
        is_busy: impl Fn(&E) -> bool,
        mut act: impl FnMut() -> Result<T, E>,
    ) -> Result<T, E> {
        let deadline = Instant::now() + self.total;
        loop {
            match act() {
                Err(error) if is_busy(&error) && Instant::now() < deadline => {
                    std::thread::sleep(self.interval)
                }
                result => return result,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience =
        Patience { total: Duration::from_millis(20), interval: Duration::from_millis(1) };

    /// The number of attempts and the result, if each attempt ends like this.
    fn tried(outcomes: &[Result<(), i32>]) -> (usize, Result<(), i32>) {
        let mut attempts = 0;
        let result = PATIENCE.while_busy(
            |error| *error == 16,
            || {
                attempts += 1;
                outcomes[attempts.min(outcomes.len()) - 1]
            },
        );
        (attempts, result)
    }

    #[test]
    fn only_a_busy_object_is_tried_again_and_for_a_limited_time() {
        assert_eq!(tried(&[Err(16), Err(16), Ok(())]), (3, Ok(())));
        assert_eq!(tried(&[Err(16), Err(5)]), (2, Err(5)));
        let (attempts, result) = tried(&[Err(16)]);
        assert_eq!(result, Err(16));
        assert!(attempts > 1, "{attempts}");
    }
}
