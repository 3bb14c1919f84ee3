//! Structured concurrency: run these jobs to the end, in parallel.
//!
//! Tasks are the only concurrency in which HAL calls are made; between them, HAL calls are the only points where a
//! simulated board switches. Compute threads that make no HAL call are the engine's own matter, up to [`Compute`].

/// One job.
pub struct Task<'a> {
    /// Name for logs and traces, such as a medium's.
    pub name: String,
    /// What it does.
    pub body: Box<dyn FnOnce() + Send + 'a>,
}

/// How a task ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskEnd {
    /// It returned.
    Finished,
    /// It panicked with this message. The run is a failure.
    Panicked(String),
}

/// How much computing a task may do beside its HAL calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compute {
    /// Everything in the task's own thread, so that the order of HAL calls depends on nothing else.
    Inline,
    /// Up to this many worker threads in all; at least 1.
    Threads(usize),
}

/// The board's way to run tasks.
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait Tasks: Send + Sync {
    /// Runs all tasks in parallel and returns when every one has ended, with their ends in the same order.
    fn run<'a>(&self, tasks: Vec<Task<'a>>) -> Vec<TaskEnd>;

    /// How much computing the engine may do in worker threads.
    fn compute(&self) -> Compute;
}

/// By hand, because a task's lifetime is a parameter of the method; there is no layer: nothing wraps tasks.
macro_rules! pointers {
    ($($pointer:ty),+) => {
        $(
            impl<T: Tasks + ?Sized> Tasks for $pointer {
                fn run<'a>(&self, tasks: Vec<Task<'a>>) -> Vec<TaskEnd> {
                    T::run(&**self, tasks)
                }

                fn compute(&self) -> Compute {
                    T::compute(&**self)
                }
            }
        )+
    };
}

pointers!(&T, Box<T>, std::sync::Arc<T>);
