//! The scheduler: tasks of which one runs at a time, and a virtual clock.
//!
//! Every HAL call is a [`Scheduler::call`]: the task queues for the virtual time at which the call completes, the task that
//! is due first runs, and the call has its effect when its own task is due. So media interleave by their simulated speed,
//! a power cut hits calls in progress, and the same seed gives the same order. After the end of the world (power cut, only
//! hung calls left, a limit) every call fails without an effect, and the tasks run to their ends.
//!
//! All tasks of a world are fibres in one thread. A task whose turn is over pauses; the call that started it resumes the
//! task whose turn it is, or pauses too if that is none of its own tasks.
//!
//! What a call costs and does, and which faults are due, is decided by the [`Model`].

use crate::model::time::cause::Caused;
use crate::model::time::fibre;
use crate::model::time::op::{Model, Moment, Op, Timing};
use crate::model::time::op_name::OpName;
use crate::model::time::random::Random;
use crate::model::time::trace::{Event, Trace};
use crate::model::time::watchdog::{self, Watchdog};
use nix::unistd::{Pid, gettid};
use replicator_hal::{Error, ErrorKind, Result};
use std::cell::Cell;
use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How the world ended, other than by the return of the main task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The power failed at this call.
    PowerCut {
        /// Number of the call.
        at_op: u64,
    },
    /// Only calls that never return were left.
    Hung,
    /// The run took more virtual time than allowed.
    TimeBound,
    /// The run made more calls than allowed.
    OpBound,
    /// A task ran on without a call; the text names it and its last call.
    Stuck(String),
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PowerCut { at_op } => write!(f, "power cut at operation {at_op}"),
            Self::Hung => f.write_str("only hung calls were left"),
            Self::TimeBound => f.write_str("the limit of virtual time was reached"),
            Self::OpBound => f.write_str("the limit of operations was reached"),
            Self::Stuck(text) => write!(f, "stuck: {text}"),
        }
    }
}

/// Limits of one run.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The run ends when the virtual clock reaches this.
    pub virtual_time_max: Duration,
    /// The run ends after so many calls.
    pub ops_max: u64,
    /// More calls after the end than this count as an endless loop of the engine.
    pub calls_after_end_max: u64,
    /// Real time without processor time after which a task that makes no call is stuck.
    pub stuck_after: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            virtual_time_max: Duration::from_secs(24 * 3600),
            ops_max: 5_000_000,
            calls_after_end_max: 10_000,
            stuck_after: Duration::from_secs(10),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waiting {
    No,
    Queued,
    Hung,
    Join { left: usize },
    Finished,
}

struct TaskState {
    name: Arc<str>,
    parent: Option<usize>,
    waiting: Waiting,
    last_op: Option<Op>,
}

/// Who runs next, from the view of a task that waits for its own tasks.
enum Turn {
    /// The task itself: all of its tasks have ended.
    Mine,
    /// One of its tasks, or a task below that one.
    Child(usize),
    Other,
}

pub(crate) struct Schedule {
    pub(crate) now: Duration,
    pub(crate) ops: u64,
    pub(crate) end: Option<End>,
    pub(crate) trace: Trace,
    queue: BTreeSet<(Duration, u64, usize)>,
    sequence: u64,
    current: usize,
    switches: u64,
    tasks: Vec<TaskState>,
    jitter: Random,
    calls_after_end: u64,
    running: bool,
    thread: Option<Pid>,
    limits: Limits,
    watchdog: Watchdog,
}

pub(crate) struct Inner<M> {
    pub(crate) schedule: Schedule,
    pub(crate) model: M,
}

/// The only access to a simulated world. See the module's documentation.
pub struct Scheduler<M> {
    id: u64,
    inner: Mutex<Inner<M>>,
}

const MAIN: usize = 0;
static NEXT_ID: AtomicU64 = AtomicU64::new(1);

thread_local! {
    /// The scheduler of the world that this thread runs.
    static WORLD: Cell<Option<u64>> = const { Cell::new(None) };
}

impl<M: Model> Scheduler<M> {
    /// A world at time zero; `seed` orders calls that are due at about the same time.
    pub fn new(model: M, seed: u64, limits: Limits, keep_trace: bool) -> Self {
        let mut schedule = Schedule {
            now: Duration::ZERO,
            ops: 0,
            end: None,
            trace: Trace::new(keep_trace),
            queue: BTreeSet::new(),
            sequence: 0,
            current: MAIN,
            switches: 0,
            tasks: Vec::new(),
            jitter: Random::child(seed, "schedule"),
            calls_after_end: 0,
            running: false,
            thread: None,
            limits,
            watchdog: Watchdog::default(),
        };
        schedule.add_task("main", None);
        // The number only distinguishes threads of different worlds; no decision depends on it.
        Self { id: NEXT_ID.fetch_add(1, Ordering::Relaxed), inner: Mutex::new(Inner { schedule, model }) }
    }

    /// One HAL call. See the module's documentation.
    ///
    /// # Errors
    /// Those of the effect and of faults; `DeviceGone` after a power cut, `TimedOut` after any other end.
    ///
    /// # Panics
    /// If the engine does not stop calling after the end, or calls from a thread that is not a task.
    pub fn call<R>(&self, op: Op, effect: impl FnOnce(&mut M, Moment) -> Result<R>) -> Result<R> {
        self.call_for(op, None, effect)
    }

    /// A call that takes the time given by the model, or exactly `duration`.
    fn call_for<R>(
        &self,
        op: Op,
        duration: Option<Duration>,
        effect: impl FnOnce(&mut M, Moment) -> Result<R>,
    ) -> Result<R> {
        let mut inner = self.lock();
        let me = self.current_task(&inner.schedule);
        inner.schedule.check_end(&op)?;
        let cost = inner.model.cost(&op);
        inner.schedule.tasks[me].last_op = Some(op.clone());
        match duration {
            Some(duration) => {
                let wake = inner.schedule.now.saturating_add(duration);
                inner.schedule.enqueue(me, wake);
            }
            None => inner.schedule.enqueue_after(me, cost),
        }
        let mut inner = self.switch(inner, me);
        inner.schedule.check_end(&op)?;
        inner.schedule.ops += 1;
        let number = inner.schedule.ops;
        let mut moment = Moment { now: inner.schedule.now, number, limit_bytes: None, flip: None };
        let due = inner.model.due(&op, moment);
        if let Some(duration) = due.hang {
            inner.schedule.hang(me, duration);
            inner = self.switch(inner, me);
            moment.now = inner.schedule.now;
            if let Err(error) = inner.schedule.check_end(&op) {
                inner.schedule.note(me, number, op, Some(error.kind()));
                return Err(error);
            }
        }
        if due.cut == Some(Timing::Before) {
            return Err(inner.schedule.cut(me, number, op));
        }
        moment.limit_bytes = due.limit_bytes;
        moment.flip = due.flip;
        let result = match due.error {
            Some(error) => Err(error),
            None => effect(&mut inner.model, moment),
        };
        if due.cut == Some(Timing::After) {
            return Err(inner.schedule.cut(me, number, op));
        }
        inner.model.done(&op, result.as_ref().err());
        inner.schedule.note(me, number, op, result.as_ref().err().map(Error::kind));
        result
    }

    /// Reads or changes the world at once, without a scheduling point: for operations that take no time.
    pub(crate) fn peek<R>(&self, look: impl FnOnce(&mut M, &mut Schedule) -> R) -> R {
        let mut inner = self.lock();
        let Inner { schedule, model } = &mut *inner;
        look(model, schedule)
    }

    /// Waits in virtual time. After the end it returns at once, but advances the clock, so that deadlines still expire.
    pub fn sleep(&self, duration: Duration) {
        let op = Op::new(OpName::Sleep, "clock");
        if self.call_for(op, Some(duration), |_, _| Ok(())).is_err() {
            self.peek(|_, schedule| schedule.now = schedule.now.saturating_add(duration));
        }
    }

    /// Runs `body` as the main task, in the calling thread.
    pub fn run<R>(self: &Arc<Self>, body: impl FnOnce() -> R) -> std::thread::Result<R> {
        fibre::prepare();
        let mut inner = self.lock();
        (inner.schedule.running, inner.schedule.thread) = (true, Some(gettid()));
        let limit = inner.schedule.limits.stuck_after;
        drop(inner);
        let world = Arc::downgrade(self);
        let _watch = watchdog::watch(limit, move || {
            // A world that is locked is at work.
            if let Some(Ok(mut inner)) = world.upgrade().as_ref().map(|world| world.inner.try_lock()) {
                inner.schedule.watch();
            }
        });
        let before = WORLD.replace(Some(self.id));
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body));
        WORLD.set(before);
        self.lock().schedule.running = false;
        result
    }

    /// Adds tasks that will run in this order at the present time, and makes the calling task their parent.
    pub(crate) fn fork(&self, names: &[String]) -> (usize, Range<usize>) {
        let mut inner = self.lock();
        let parent = self.current_task(&inner.schedule);
        let now = inner.schedule.now;
        let start = inner.schedule.tasks.len();
        for name in names {
            let child = inner.schedule.add_task(name, Some(parent));
            inner.schedule.enqueue(child, now);
        }
        let children = start..inner.schedule.tasks.len();
        inner.schedule.tasks[parent].waiting = Waiting::Join { left: children.len() };
        (parent, children)
    }

    /// Runs a child's body; its turn has come. The end of the last child wakes the parent.
    pub(crate) fn run_child<R>(&self, parent: usize, child: usize, body: impl FnOnce() -> R) -> R {
        self.lock().schedule.tasks[child].waiting = Waiting::No;
        let result = body();
        let schedule = &mut self.lock().schedule;
        schedule.finish(parent, child);
        schedule.start_next();
        result
    }

    /// Calls `resume` with the child whose turn it is, until all children have ended.
    pub(crate) fn join(&self, parent: usize, mut resume: impl FnMut(usize)) {
        self.lock().schedule.start_next();
        loop {
            let turn = self.lock().schedule.turn(parent);
            match turn {
                Turn::Child(child) => resume(child),
                Turn::Other => fibre::pause(),
                Turn::Mine => break,
            }
        }
        self.lock().schedule.tasks[parent].waiting = Waiting::No;
    }

    fn lock(&self) -> MutexGuard<'_, Inner<M>> {
        // A task's panic is a result of the run; the state is still needed to report what happened.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn current_task(&self, schedule: &Schedule) -> usize {
        let is_mine = !schedule.running || WORLD.get() == Some(self.id);
        assert!(is_mine, "a HAL call from a thread that is not a task of the board");
        schedule.current
    }

    /// Lets the next task run, until it is the turn of this one again.
    fn switch<'a>(&'a self, mut inner: MutexGuard<'a, Inner<M>>, me: usize) -> MutexGuard<'a, Inner<M>> {
        inner.schedule.start_next();
        while inner.schedule.current != me {
            drop(inner);
            fibre::pause();
            inner = self.lock();
        }
        inner.schedule.tasks[me].waiting = Waiting::No;
        inner
    }
}

impl TaskState {
    fn last_call(&self) -> String {
        self.last_op
            .as_ref()
            .map_or_else(|| "nothing yet".to_owned(), |op| op.to_string().trim_end().to_owned())
    }
}

impl Schedule {
    fn add_task(&mut self, name: &str, parent: Option<usize>) -> usize {
        self.tasks.push(TaskState { name: name.into(), parent, waiting: Waiting::No, last_op: None });
        self.tasks.len() - 1
    }

    fn enqueue(&mut self, task: usize, wake: Duration) {
        self.sequence += 1;
        self.queue.insert((wake, self.sequence, task));
        self.tasks[task].waiting = Waiting::Queued;
    }

    fn enqueue_after(&mut self, task: usize, cost: Duration) {
        // The seed decides the order of calls here: it adds up to a sixteenth of the cost, and a microsecond to free calls.
        let spread = u64::try_from(cost.as_nanos() / 16).unwrap_or(u64::MAX).max(1000);
        let jitter = Duration::from_nanos(self.jitter.below(spread));
        let wake = self.now.saturating_add(cost).saturating_add(jitter);
        self.enqueue(task, wake);
    }

    fn hang(&mut self, task: usize, duration: Duration) {
        match self.now.checked_add(duration) {
            Some(wake) if duration != Duration::MAX => self.enqueue(task, wake),
            _ => self.tasks[task].waiting = Waiting::Hung,
        }
    }

    /// Lets the task run that is due first.
    fn start_next(&mut self) {
        if self.queue.is_empty() {
            self.wake_the_hung();
        }
        let Some((time, _, task)) = self.queue.pop_first() else {
            return;
        };
        if self.end.is_none() {
            self.now = self.now.max(time);
            if self.now > self.limits.virtual_time_max {
                self.end = Some(End::TimeBound);
            } else if self.ops >= self.limits.ops_max {
                self.end = Some(End::OpBound);
            }
        }
        self.switches += 1;
        self.current = task;
    }

    fn turn(&self, parent: usize) -> Turn {
        let mut task = self.current;
        if task == parent {
            return Turn::Mine;
        }
        while let Some(above) = self.tasks[task].parent {
            if above == parent {
                return Turn::Child(task);
            }
            task = above;
        }
        Turn::Other
    }

    /// No task is due: the world ends as hung, or the simulation itself has a fault.
    fn wake_the_hung(&mut self) {
        let hung: Vec<usize> =
            (0..self.tasks.len()).filter(|task| self.tasks[*task].waiting == Waiting::Hung).collect();
        if hung.is_empty() {
            let unfinished = self.tasks.iter().any(|task| task.waiting != Waiting::Finished);
            assert!(!unfinished, "deadlock, no task is due:\n{}", self.table());
            return;
        }
        if self.end.is_none() {
            self.end = Some(End::Hung);
        }
        for task in hung {
            self.enqueue(task, self.now);
        }
    }

    fn finish(&mut self, parent: usize, child: usize) {
        self.tasks[child].waiting = Waiting::Finished;
        if let Waiting::Join { left } = self.tasks[parent].waiting {
            if left > 1 {
                self.tasks[parent].waiting = Waiting::Join { left: left - 1 };
            } else {
                self.enqueue(parent, self.now);
            }
        }
    }

    /// After the end: the error of every call.
    fn check_end(&mut self, op: &Op) -> Result<()> {
        let timed_out = |detail| Error::new(ErrorKind::TimedOut, op.name.word(), op.object.clone(), detail);
        let error = match &self.end {
            None => return Ok(()),
            Some(End::PowerCut { .. }) => {
                Error::power_cut(op.name.word(), op.object.clone(), "the power is gone")
            }
            Some(End::Hung) => timed_out("the operation never returned"),
            Some(_) => timed_out("the run was stopped"),
        };
        self.count_call_after_end();
        Err(error)
    }

    /// Counts a call after the end, so that an engine that never stops is found.
    pub(crate) fn count_call_after_end(&mut self) {
        if self.end.is_none() {
            return;
        }
        self.calls_after_end += 1;
        assert!(
            self.calls_after_end <= self.limits.calls_after_end_max,
            "the engine does not stop calling after the end:\n{}",
            self.table()
        );
    }

    fn cut(&mut self, task: usize, number: u64, op: Op) -> Error {
        let error = Error::power_cut(op.name.word(), op.object.clone(), "the power failed");
        self.note(task, number, op, Some(error.kind()));
        self.end = Some(End::PowerCut { at_op: number });
        error
    }

    fn note(&mut self, task: usize, number: u64, op: Op, error: Option<ErrorKind>) {
        let task = Arc::clone(&self.tasks[task].name);
        self.trace.add(Event { number, time: self.now, task, op, error });
    }

    /// Ends the world if the task that runs is stuck.
    fn watch(&mut self) {
        let running = &self.tasks[self.current];
        let is_over = !self.running || self.end.is_some();
        if is_over || !self.watchdog.is_stuck(self.switches, self.thread, self.limits.stuck_after) {
            return;
        }
        let text = format!(
            "task {} does not come back since its call '{}': did it block outside of the HAL?",
            running.name,
            running.last_call()
        );
        // If the task never comes back, the process never ends. Then only this line shows the reason.
        eprintln!("{text}");
        self.end = Some(End::Stuck(text));
    }

    /// The name of the task that runs.
    pub(crate) fn current_task(&self) -> Arc<str> {
        Arc::clone(&self.tasks[self.current].name)
    }

    fn table(&self) -> String {
        let tasks = self.tasks.iter();
        let lines: Vec<String> = tasks
            .map(|task| format!("  {}: {:?}, last call: {}", task.name, task.waiting, task.last_call()))
            .collect();
        lines.join("\n")
    }
}
