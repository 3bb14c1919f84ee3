//! Worker threads for computing, with results in the order of the jobs.
//!
//! Only this module of the engine starts threads and waits for them. A job owns all its data and makes no HAL call, so a
//! worker waits only for the next job, and a caller waits only for computing. The submitter limits the memory of the jobs
//! in progress.
#![allow(
    clippy::disallowed_types,
    reason = "a Condvar is safe here: workers only compute, and no task of the board waits for another task with it"
)]

use std::any::Any;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};

/// More threads than any board has cores; limits the effect of a wrong setting.
pub(super) const MAX_THREADS: usize = 32;

/// A job panicked, with this message.
#[derive(Debug, thiserror::Error)]
#[error("a worker panicked: {0}")]
pub(super) struct WorkerPanicked(String);

/// Threads that run `J -> R` and return the results in the order of the jobs.
///
/// Dropping it discards the jobs that are not begun yet, waits for those in progress, and joins all threads.
pub(super) struct Workers<J, R> {
    shared: Arc<Shared<J, R>>,
    threads: Vec<JoinHandle<()>>,
    submitted: u64,
    taken: u64,
}

struct Shared<J, R> {
    state: Mutex<State<J, R>>,
    work_or_closing: Condvar,
    result: Condvar,
    work: fn(J) -> R,
}

struct State<J, R> {
    jobs: VecDeque<(u64, J)>,
    results: BTreeMap<u64, Result<R, WorkerPanicked>>,
    closing: bool,
}

impl<J: Send + 'static, R: Send + 'static> Workers<J, R> {
    /// Starts `threads` threads (at least 1, at most [`MAX_THREADS`]); fewer if the system refuses some of them.
    ///
    /// # Errors
    /// That of the system if it does not allow a single thread.
    pub(super) fn start(threads: usize, work: fn(J) -> R) -> io::Result<Self> {
        let state = State { jobs: VecDeque::new(), results: BTreeMap::new(), closing: false };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            work_or_closing: Condvar::new(),
            result: Condvar::new(),
            work,
        });
        let mut workers = Self { shared, threads: Vec::new(), submitted: 0, taken: 0 };
        for number in 0..threads.clamp(1, MAX_THREADS) {
            let shared = Arc::clone(&workers.shared);
            match Builder::new().name(format!("codec-{number}")).spawn(move || shared.run()) {
                Ok(thread) => workers.threads.push(thread),
                Err(error) if number == 0 => return Err(error),
                Err(_) => break,
            }
        }
        Ok(workers)
    }

    /// Queues a job. The queue has no limit.
    pub(super) fn submit(&mut self, job: J) {
        self.shared.lock().jobs.push_back((self.submitted, job));
        self.submitted += 1;
        self.shared.work_or_closing.notify_one();
    }

    /// Waits for the result of the oldest job whose result was not taken yet; `None` if there is no such job.
    pub(super) fn next(&mut self) -> Option<Result<R, WorkerPanicked>> {
        if self.taken == self.submitted {
            return None;
        }
        let mut state = self.shared.lock();
        loop {
            if let Some(result) = state.results.remove(&self.taken) {
                self.taken += 1;
                return Some(result);
            }
            state = self.shared.result.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl<J, R> Shared<J, R> {
    /// Jobs run outside of the lock, so the state behind a poisoned lock is consistent.
    fn lock(&self) -> MutexGuard<'_, State<J, R>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        while let Some((number, job)) = self.next_job() {
            let result = catch_unwind(AssertUnwindSafe(|| (self.work)(job)))
                .map_err(|payload| WorkerPanicked(panic_message(payload.as_ref())));
            self.lock().results.insert(number, result);
            self.result.notify_one();
        }
    }

    fn next_job(&self) -> Option<(u64, J)> {
        let mut state = self.lock();
        loop {
            if state.closing {
                return None;
            }
            if let Some(job) = state.jobs.pop_front() {
                return Some(job);
            }
            state = self.work_or_closing.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl<J, R> Drop for Workers<J, R> {
    fn drop(&mut self) {
        {
            let mut state = self.shared.lock();
            state.closing = true;
            state.jobs.clear();
        }
        self.shared.work_or_closing.notify_all();
        for thread in self.threads.drain(..) {
            // Panics of jobs were caught and became results; another panic cannot be reported here.
            drop(thread.join());
        }
    }
}

fn panic_message(payload: &(dyn Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "without a message".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_jobs() {
        for threads in [1, 2, 4] {
            // Early jobs take longer, so that later ones overtake them.
            let mut workers = Workers::start(threads, |job: u64| {
                let rounds = (100 - job) * 1000;
                (job, (0..rounds).fold(job, |sum, round| sum.wrapping_mul(31).wrapping_add(round)))
            })
            .unwrap();
            for job in 0..100 {
                workers.submit(job);
            }
            for job in 0..100 {
                assert_eq!(workers.next().unwrap().unwrap().0, job);
            }
            assert!(workers.next().is_none());
        }
    }

    #[test]
    fn a_panic_is_an_error_of_its_job_only() {
        let mut workers = Workers::start(2, |job: u32| {
            assert!(job != 1, "job {job} is broken");
            job
        })
        .unwrap();
        for job in 0..3 {
            workers.submit(job);
        }
        assert_eq!(workers.next().unwrap().unwrap(), 0);
        let error = workers.next().unwrap().unwrap_err();
        assert!(error.to_string().contains("job 1 is broken"), "{error}");
        assert_eq!(workers.next().unwrap().unwrap(), 2);
    }

    #[test]
    fn dropping_discards_waiting_jobs_and_joins_the_threads() {
        let mark = Arc::new(());
        let mut workers = Workers::start(2, |job: Arc<()>| job).unwrap();
        for _ in 0..1000 {
            workers.submit(Arc::clone(&mark));
        }
        drop(workers);
        assert_eq!(Arc::strong_count(&mark), 1, "a job or a result outlived the workers");
    }
}
