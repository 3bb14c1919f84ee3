//! Structured concurrency: runs jobs in parallel and waits for all of them.
//!
//! Only tasks make HAL calls concurrently, and a simulated board switches between tasks only at a HAL call. Compute
//! threads that make no HAL call belong to the engine, which limits them by [`Compute`].

/// One job.
pub struct Task<'a> {
    /// Name for logs and traces, such as a medium's.
    pub name: String,
    /// The job.
    pub body: Box<dyn FnOnce() + Send + 'a>,
}

/// How a task ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskEnd {
    /// The job returned.
    Finished,
    /// The job panicked with this message. The run is a failure.
    Panicked(String),
}

/// How many threads a task may use for computing, beside its HAL calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compute {
    /// Everything runs in the task's own thread, so that nothing else affects the order of HAL calls.
    Inline,
    /// Up to this many worker threads in total; at least 1.
    Threads(usize),
}

/// Runs tasks on the board.
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait Tasks: Send + Sync {
    /// Runs all tasks in parallel, and returns when all have ended, with their results in the same order.
    fn run<'a>(&self, tasks: Vec<Task<'a>>) -> Vec<TaskEnd>;

    /// How many threads the engine may use for computing.
    fn compute(&self) -> Compute;
}

/// Written by hand, because the lifetime of a task is a parameter of the method. There is no layer, because no wrapper
/// needs one.
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
