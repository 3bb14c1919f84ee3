//! Asking again for what others hold for a moment: udev, an automounter, or a program that another task starts, which has a
//! copy of every open descriptor until it is loaded. How long is worth waiting is for the caller to know.

use std::time::{Duration, Instant};

/// How long to ask, and how often.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// From the first attempt to the last.
    pub(super) total: Duration,
    /// Between two attempts.
    pub(super) interval: Duration,
}

impl Patience {
    /// Does `act` again as long as `is_busy` says so of its error, and patience lasts.
    ///
    /// # Errors
    /// That of the last attempt.
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

    /// How often it was tried, and what came of it, if each attempt ends like this.
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
    fn only_what_is_busy_is_tried_again_and_not_for_ever() {
        assert_eq!(tried(&[Err(16), Err(16), Ok(())]), (3, Ok(())));
        assert_eq!(tried(&[Err(16), Err(5)]), (2, Err(5)));
        let (attempts, result) = tried(&[Err(16)]);
        assert_eq!(result, Err(16));
        assert!(attempts > 1, "{attempts}");
    }
}
