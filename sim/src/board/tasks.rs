//! Structured tasks over the handle: each task is a fibre that gets its turn from the scheduler.

use crate::model::time::fibre::Fibre;
use crate::model::time::op::Model;
use crate::model::time::scheduler::Scheduler;
use replicator_hal::{Compute, Task, TaskEnd, Tasks};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};

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
        let ends: Vec<OnceLock<TaskEnd>> = names.iter().map(|_| OnceLock::new()).collect();
        let mut fibres: Vec<Fibre<'_>> = tasks
            .into_iter()
            .zip(children.clone())
            .zip(&ends)
            .map(|((task, child), end)| {
                Fibre::new(move || {
                    let body = || catch_unwind(AssertUnwindSafe(task.body));
                    end.get_or_init(|| match self.handle.run_child(parent, child, body) {
                        Ok(()) => TaskEnd::Finished,
                        Err(panic) => TaskEnd::Panicked(panic_text(panic.as_ref())),
                    });
                })
            })
            .collect();
        self.handle.join(parent, |child| fibres[child - children.start].resume());
        drop(fibres);
        let unfinished = || TaskEnd::Panicked("the task did not end".to_owned());
        ends.into_iter().map(|end| end.into_inner().unwrap_or_else(unfinished)).collect()
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
