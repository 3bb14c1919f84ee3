//! Tasks as threads.

use crate::{Compute, Task, TaskEnd, Tasks};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

/// Runs each task in a thread of its own.
#[derive(Debug, Clone, Copy, Default)]
pub struct ThreadTasks;

impl Tasks for ThreadTasks {
    fn run<'a>(&self, tasks: Vec<Task<'a>>) -> Vec<TaskEnd> {
        thread::scope(|scope| {
            let running: Vec<_> = tasks
                .into_iter()
                .map(|task| {
                    // A name with a NUL byte would panic.
                    let name = task.name.replace('\0', "?");
                    let body = task.body;
                    thread::Builder::new().name(name).spawn_scoped(scope, move || end_of(body))
                })
                .collect();
            running
                .into_iter()
                .map(|thread| match thread.map(thread::ScopedJoinHandle::join) {
                    Ok(Ok(end)) => end,
                    Ok(Err(panic)) => TaskEnd::Panicked(message(panic.as_ref())),
                    Err(error) => TaskEnd::Panicked(format!("no thread could be started: {error}")),
                })
                .collect()
        })
    }

    fn compute(&self) -> Compute {
        Compute::Threads(thread::available_parallelism().map_or(1, usize::from))
    }
}

fn end_of(body: Box<dyn FnOnce() + Send + '_>) -> TaskEnd {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(()) => TaskEnd::Finished,
        Err(panic) => TaskEnd::Panicked(message(panic.as_ref())),
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    if let Some(text) = panic.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = panic.downcast_ref::<String>() {
        text.clone()
    } else {
        "a panic without a message".to_owned()
    }
}
