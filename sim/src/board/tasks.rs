//! Structured tasks over the handle: each task is a thread that waits for its turn before its first instruction.

use crate::model::time::op::Model;
use crate::model::time::scheduler::Scheduler;
use replicator_hal::{Compute, Task, TaskEnd, Tasks};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;

/// The board's tasks.
pub(crate) struct SimTasks<M> {
    pub(crate) handle: Arc<Scheduler<M>>,
}

impl<M: Model> Tasks for SimTasks<M> {
    fn run<'a>(&self, tasks: Vec<Task<'a>>) -> Vec<TaskEnd> {
        if tasks.is_empty() {
            return Vec::new();
        }
        let names: Vec<String> = tasks.iter().map(|task| task.name.clone()).collect();
        let (parent, children) = self.handle.fork(&names);
        thread::scope(|scope| {
            let threads: Vec<_> = tasks
                .into_iter()
                .zip(children)
                .map(|(task, child)| {
                    let body = move || {
                        self.handle.run_child(parent, child, || catch_unwind(AssertUnwindSafe(task.body)))
                    };
                    // A thread's name must not hold a NUL; a task's name may.
                    let name = task.name.replace('\0', " ");
                    let started = thread::Builder::new().name(name).spawn_scoped(scope, body);
                    if started.is_err() {
                        self.handle.abandon(parent, child);
                    }
                    started
                })
                .collect();
            self.handle.join(parent);
            threads
                .into_iter()
                .map(|thread| match thread.map(thread::ScopedJoinHandle::join) {
                    Ok(Ok(Ok(()))) => TaskEnd::Finished,
                    Ok(Ok(Err(panic)) | Err(panic)) => TaskEnd::Panicked(panic_text(panic.as_ref())),
                    Err(error) => TaskEnd::Panicked(format!("no thread for the task: {error}")),
                })
                .collect()
        })
    }

    fn compute(&self) -> Compute {
        Compute::Inline
    }
}

/// The message of a panic.
pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a message".to_owned())
}
