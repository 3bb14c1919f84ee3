//! Contract of [`Tasks`].

use crate::{Clock, Compute, Task, TaskEnd, Tasks};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Tasks to test, and the clock by which they sleep.
pub trait TasksFixture {
    /// The tasks.
    fn tasks(&self) -> &dyn Tasks;

    /// The clock of the same backend.
    fn clock(&self) -> &dyn Clock;
}

fn task<'a>(name: &str, body: impl FnOnce() + Send + 'a) -> Task<'a> {
    Task { name: name.to_owned(), body: Box::new(body) }
}

/// Every task has run when the call returns, and could use values of its caller.
pub fn all_tasks_run(fixture: &dyn TasksFixture) {
    let count = AtomicU32::new(0);
    let tasks = (0..5).map(|number| {
        let count = &count;
        task("same name", move || {
            count.fetch_add(1 << (4 * number), Ordering::SeqCst);
        })
    });
    let ends = fixture.tasks().run(tasks.collect());
    assert_eq!(ends, vec![TaskEnd::Finished; 5]);
    assert_eq!(count.load(Ordering::SeqCst), 0x11111);
}

/// The results are in the order of the tasks, not in that in which they ended.
pub fn results_are_in_the_order_of_the_tasks(fixture: &dyn TasksFixture) {
    let clock = fixture.clock();
    let ends = fixture.tasks().run(vec![
        task("slow", || {
            clock.sleep(Duration::from_millis(50));
            panic!("the slow one");
        }),
        task("quick", || {}),
        task("middle", || {
            clock.sleep(Duration::from_millis(10));
            panic!("the middle one");
        }),
    ]);
    assert_eq!(
        ends,
        [
            TaskEnd::Panicked("the slow one".to_owned()),
            TaskEnd::Finished,
            TaskEnd::Panicked("the middle one".to_owned()),
        ]
    );
}

/// Tasks run in parallel: four that sleep take about as long as one.
pub fn tasks_sleep_in_parallel(fixture: &dyn TasksFixture) {
    let clock = fixture.clock();
    let nap = Duration::from_millis(200);
    let before = clock.monotonic();
    let ends =
        fixture.tasks().run((0..4).map(|number| task(&number.to_string(), || clock.sleep(nap))).collect());
    let taken = clock.monotonic() - before;
    assert_eq!(ends, vec![TaskEnd::Finished; 4]);
    assert!(taken >= nap && taken < 4 * nap, "{taken:?}");
}

/// A panic in the task of one medium is reported, and the other tasks run to their end.
pub fn a_panic_is_reported_and_stops_no_other_task(fixture: &dyn TasksFixture) {
    let finished = AtomicU32::new(0);
    let ends = fixture.tasks().run(vec![
        task("sd", || panic!("no {} left", "sectors")),
        task("emmc\0odd", || {
            finished.fetch_add(1, Ordering::SeqCst);
        }),
        task("", || std::panic::panic_any(7_u8)),
    ]);
    assert_eq!(ends[0], TaskEnd::Panicked("no sectors left".to_owned()));
    assert_eq!(ends[1], TaskEnd::Finished);
    assert!(matches!(&ends[2], TaskEnd::Panicked(text) if !text.is_empty()), "{:?}", ends[2]);
    assert_eq!(finished.load(Ordering::SeqCst), 1);
    assert_eq!(fixture.tasks().run(vec![task("after", || {})]), [TaskEnd::Finished]);
}

/// Without media there are no tasks.
pub fn no_tasks_return_no_results(fixture: &dyn TasksFixture) {
    assert_eq!(fixture.tasks().run(Vec::new()), []);
}

/// Work can be divided by the number of threads.
pub fn computing_has_at_least_one_thread(fixture: &dyn TasksFixture) {
    match fixture.tasks().compute() {
        Compute::Inline => {}
        Compute::Threads(count) => assert!(count >= 1),
    }
}
