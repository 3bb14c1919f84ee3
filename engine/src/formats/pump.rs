//! Runs a decoder that does no I/O itself: gives it compressed bytes, and offers the decoded bytes as a `Read`.
//!
//! This module has the trait of such a decoder and two drivers: one in the caller's thread, and one that decodes ahead in
//! a worker thread. Only the caller's thread reads the input. The formats are elsewhere.

use std::io::{self, Read};

use super::workers::{WorkerPanicked, Workers};
use super::{FormatError, ReadAt};

/// How many compressed bytes are read at once.
pub(super) const INPUT_CHUNK_BYTES: usize = 256 * 1024;
/// How many decoded bytes a worker returns at once.
const OUTPUT_CHUNK_BYTES: usize = 1024 * 1024;

/// A decoder of a whole file of one format, with all its streams, as a state machine.
pub(super) trait PushDecoder: Send {
    /// Decodes some of `input` into some of `output` (which is not empty).
    ///
    /// It makes progress unless it needs more input: if it consumes and produces no byte, `input` is empty and all
    /// decoded bytes were returned.
    ///
    /// # Errors
    /// Errors of the format. The decoder cannot be used afterwards.
    fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, FormatError>;

    /// Checks that a file that ends after the last `step` is complete.
    ///
    /// # Errors
    /// Truncated, if it is not.
    fn end(&mut self) -> Result<(), FormatError>;

    /// The format's usual name.
    fn format(&self) -> &'static str;
}

/// The result of one step.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Step {
    pub(super) consumed: usize,
    pub(super) produced: usize,
}

/// The result of several steps.
#[derive(Debug, Clone, Copy, Default)]
struct Pumped {
    step: Step,
    end: bool,
}

/// Steps until `output` is full, or `input` is used up and, if it is the `last`, the file is complete.
fn pump(
    decoder: &mut dyn PushDecoder,
    input: &[u8],
    last: bool,
    output: &mut [u8],
) -> Result<Pumped, FormatError> {
    let mut done = Step::default();
    while done.produced < output.len() {
        let step = decoder.step(&input[done.consumed..], &mut output[done.produced..])?;
        done.consumed += step.consumed;
        done.produced += step.produced;
        if step.consumed == 0 && step.produced == 0 {
            if done.consumed < input.len() {
                let detail = "its decoder makes no progress".to_owned();
                return Err(FormatError::Damaged { format: decoder.format(), detail });
            }
            if last {
                decoder.end()?;
            }
            return Ok(Pumped { step: done, end: last });
        }
    }
    Ok(Pumped { step: done, end: false })
}

/// Reads the compressed file from front to back, in chunks of a fixed size, so that the reads depend on the file only.
pub(super) struct Feed<'a> {
    input: &'a mut (dyn ReadAt + Send),
    offset_bytes: u64,
    len_bytes: u64,
}

impl<'a> Feed<'a> {
    pub(super) fn new(input: &'a mut (dyn ReadAt + Send)) -> Self {
        let len_bytes = input.len_bytes();
        Self { input, offset_bytes: 0, len_bytes }
    }

    fn at_end(&self) -> bool {
        self.offset_bytes >= self.len_bytes
    }

    /// Reads on into `buffer`: some bytes, or none at the end of the file.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let rest = usize::try_from(self.len_bytes - self.offset_bytes).unwrap_or(usize::MAX);
        let want = buffer.len().min(rest);
        if want == 0 {
            return Ok(0);
        }
        loop {
            match self.input.read_at(self.offset_bytes, &mut buffer[..want]) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(len) => {
                    self.offset_bytes += len as u64;
                    return Ok(len);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Replaces the content of `chunk` by the next bytes.
    fn next_chunk(&mut self, chunk: &mut Vec<u8>) -> io::Result<()> {
        chunk.resize(INPUT_CHUNK_BYTES, 0);
        match self.read(chunk) {
            Ok(len) => {
                chunk.truncate(len);
                Ok(())
            }
            Err(error) => {
                chunk.clear();
                Err(error)
            }
        }
    }
}

impl Read for Feed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Feed::read(self, buffer)
    }
}

/// The state of a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    Running,
    Ended,
    Failed,
}

/// The result of a read after a format error, which must not look like an end of file.
pub(super) fn failed_before(format: &'static str) -> io::Error {
    FormatError::Damaged { format, detail: "decoding failed before".to_owned() }.into()
}

/// Decodes in the caller's thread.
pub(super) struct InlineReader<'a> {
    feed: Feed<'a>,
    decoder: Box<dyn PushDecoder>,
    chunk: Vec<u8>,
    used: usize,
    progress: Progress,
}

impl<'a> InlineReader<'a> {
    pub(super) fn new(input: &'a mut (dyn ReadAt + Send), decoder: Box<dyn PushDecoder>) -> Self {
        Self { feed: Feed::new(input), decoder, chunk: Vec::new(), used: 0, progress: Progress::Running }
    }
}

impl Read for InlineReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            match self.progress {
                Progress::Running => {}
                Progress::Ended => return Ok(0),
                Progress::Failed => return Err(failed_before(self.decoder.format())),
            }
            if self.used == self.chunk.len() && !self.feed.at_end() {
                self.used = 0;
                self.feed.next_chunk(&mut self.chunk)?;
            }
            let pumped = pump(self.decoder.as_mut(), &self.chunk[self.used..], self.feed.at_end(), buffer)
                .inspect_err(|_| self.progress = Progress::Failed)?;
            self.used += pumped.step.consumed;
            if pumped.end {
                self.progress = Progress::Ended;
            }
            if pumped.step.produced > 0 {
                return Ok(pumped.step.produced);
            }
        }
    }
}

/// The decoder with its bytes, which is passed to a worker and back.
struct Job {
    decoder: Box<dyn PushDecoder>,
    chunk: Vec<u8>,
    used: usize,
    last: bool,
    output: Vec<u8>,
}

type Outcome = (Job, Result<Pumped, FormatError>);

fn run_job(mut job: Job) -> Outcome {
    job.output.resize(OUTPUT_CHUNK_BYTES, 0);
    let pumped = pump(job.decoder.as_mut(), &job.chunk[job.used..], job.last, &mut job.output);
    (job, pumped)
}

/// Decodes one chunk ahead in a worker, while the caller uses the chunk before it.
///
/// At most two chunks of input and two of output are in memory.
pub(super) struct OverlappedReader<'a> {
    feed: Feed<'a>,
    format: &'static str,
    /// Holds at most one job.
    workers: Workers<Job, Outcome>,
    /// The job before the first read, when no worker has it yet.
    idle: Option<Job>,
    /// Input for the next job, read while a worker decodes.
    next_chunk: Vec<u8>,
    ready: Vec<u8>,
    served: usize,
    progress: Progress,
}

impl<'a> OverlappedReader<'a> {
    /// # Errors
    /// If the system allows no thread.
    pub(super) fn new(input: &'a mut (dyn ReadAt + Send), decoder: Box<dyn PushDecoder>) -> io::Result<Self> {
        let format = decoder.format();
        let job = Job { decoder, chunk: Vec::new(), used: 0, last: false, output: Vec::new() };
        Ok(Self {
            feed: Feed::new(input),
            format,
            workers: Workers::start(1, run_job)?,
            idle: Some(job),
            next_chunk: Vec::new(),
            ready: Vec::new(),
            served: 0,
            progress: Progress::Running,
        })
    }

    /// Takes the decoded chunk from the worker and gives it the next one.
    fn advance(&mut self) -> io::Result<()> {
        // First, so that reading overlaps with decoding. A failed read loses nothing and may be retried.
        if self.next_chunk.is_empty() && !self.feed.at_end() {
            self.feed.next_chunk(&mut self.next_chunk)?;
        }
        let mut job = match self.idle.take() {
            Some(job) => job,
            None => match self.take_outcome()? {
                Some(job) => job,
                None => return Ok(()),
            },
        };
        if job.used == job.chunk.len() {
            std::mem::swap(&mut job.chunk, &mut self.next_chunk);
            self.next_chunk.clear();
            job.used = 0;
        }
        job.last = self.next_chunk.is_empty() && self.feed.at_end();
        self.workers.submit(job);
        Ok(())
    }

    /// The job to continue with; `None` at the end.
    fn take_outcome(&mut self) -> io::Result<Option<Job>> {
        let (mut job, pumped) = match self.workers.next() {
            Some(Ok(outcome)) => outcome,
            Some(Err(panicked)) => return Err(self.fail(worker_failed(panicked))),
            None => return Err(self.fail(io::Error::other("no decoder is at work"))),
        };
        let pumped = pumped.map_err(|error| self.fail(error.into()))?;
        job.output.truncate(pumped.step.produced);
        std::mem::swap(&mut self.ready, &mut job.output);
        self.served = 0;
        job.used += pumped.step.consumed;
        if pumped.end {
            self.progress = Progress::Ended;
            return Ok(None);
        }
        Ok(Some(job))
    }

    fn fail(&mut self, error: io::Error) -> io::Error {
        self.progress = Progress::Failed;
        error
    }
}

/// A panic in a decoder is an error, but not one of the file.
pub(super) fn worker_failed(panicked: WorkerPanicked) -> io::Error {
    io::Error::other(panicked)
}

impl Read for OverlappedReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if buffer.is_empty() || self.served < self.ready.len() {
                let len = buffer.len().min(self.ready.len() - self.served);
                buffer[..len].copy_from_slice(&self.ready[self.served..self.served + len]);
                self.served += len;
                return Ok(len);
            }
            match self.progress {
                Progress::Running => self.advance()?,
                Progress::Ended => return Ok(0),
                Progress::Failed => return Err(failed_before(self.format)),
            }
        }
    }
}
