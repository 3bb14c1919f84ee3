//! Reads that bypass the page cache: `O_DIRECT`, with buffers that are aligned as it requires, and read ahead.
//!
//! A card answers one request after the other, and a host that sends the next one only after it has examined the last leaves
//! it idle. So a sequential reader keeps several requests in flight, each by a thread with a descriptor of its own.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};

/// Alignment of buffer, offset and length; enough for every sector size up to 4 KiB.
const ALIGNMENT_MIN_BYTES: usize = 4096;
/// Longest single read.
const BOUNCE_LEN_BYTES: usize = 1 << 20;
/// How many requests are in flight while a range is read from front to back: 2 MiB of memory.
const AHEAD: usize = 2;

/// Shorter reads are not taken for those of a whole range.
const SEQUENTIAL_MIN_LEN_BYTES: usize = 64 << 10;

/// A buffer with an aligned part.
struct Bounce {
    bytes: Vec<u8>,
    /// Offset of the aligned part.
    start: usize,
}

impl Bounce {
    fn new(alignment: usize) -> Self {
        let bytes = vec![0; BOUNCE_LEN_BYTES + alignment];
        let address = bytes.as_ptr().addr();
        let start = address.next_multiple_of(alignment) - address;
        Self { bytes, start }
    }

    fn read(&mut self, file: &File, at: u64, len: usize) -> io::Result<usize> {
        file.read_at(&mut self.bytes[self.start..self.start + len], at)
    }

    fn aligned(&self, len: usize) -> &[u8] {
        &self.bytes[self.start..self.start + len]
    }
}

/// A request to a thread, and its answer.
struct Request {
    at: u64,
    len: usize,
    bounce: Bounce,
}

type Answer = (Request, io::Result<usize>);

/// A thread that reads.
struct Reader {
    /// `None` once the thread is to end.
    requests: Option<Sender<Request>>,
    answers: Receiver<Answer>,
    thread: Option<JoinHandle<()>>,
}

impl Reader {
    fn new(file: File) -> io::Result<Self> {
        let (requests, incoming) = channel::<Request>();
        let (outgoing, answers) = channel();
        let work = move || {
            for mut request in incoming {
                let result = request.bounce.read(&file, request.at, request.len);
                if outgoing.send((request, result)).is_err() {
                    break;
                }
            }
        };
        let thread = thread::Builder::new().name("read-ahead".into()).spawn(work)?;
        Ok(Self { requests: Some(requests), answers, thread: Some(thread) })
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.requests = None;
        if let Some(thread) = self.thread.take() {
            // A panic in it was an error of its read already.
            drop(thread.join());
        }
    }
}

/// A file opened with `O_DIRECT`, and buffers for its reads.
pub(super) struct DirectReader {
    file: File,
    alignment: usize,
    /// Nothing is read ahead behind this byte.
    len_bytes: u64,
    /// Started with the first read that continues another one.
    readers: Vec<Reader>,
    /// Start and length of the requests in flight, in order, each with the number of its reader.
    in_flight: VecDeque<(u64, usize, usize)>,
    /// What was read ahead and is returned now: start, length, bytes.
    current: Option<(u64, usize, Bounce)>,
    /// What was read ahead before this byte is not returned any more, so that a second read of a byte is one of the device.
    next: u64,
    spare: Vec<Bounce>,
    next_reader: usize,
}

impl DirectReader {
    /// A reader over `file`, which must be open with `O_DIRECT` and have `len_bytes`. It is dropped before anything is written:
    /// what it has read ahead may be older than its next call.
    pub(super) fn new(file: File, sector_len_bytes: u32, len_bytes: u64) -> Self {
        Self {
            file,
            alignment: ALIGNMENT_MIN_BYTES.max(sector_len_bytes as usize),
            len_bytes,
            readers: Vec::new(),
            in_flight: VecDeque::new(),
            current: None,
            next: 0,
            spare: Vec::new(),
            next_reader: 0,
        }
    }

    /// Reads at any offset; may be short. No byte is returned twice from one read of the device. An error is one of this
    /// range: a range that was read ahead with an error is read again.
    pub(super) fn read_at(&mut self, offset_bytes: u64, target: &mut [u8]) -> io::Result<usize> {
        let is_long = target.len() >= SEQUENTIAL_MIN_LEN_BYTES && offset_bytes < self.len_bytes;
        let continues = is_long && offset_bytes > 0 && offset_bytes == self.next;
        if !self.is_ahead(offset_bytes) {
            self.drop_ahead();
            if continues {
                self.read_ahead(offset_bytes - offset_bytes % self.alignment as u64);
            }
        }
        let len = match self.take(offset_bytes, target) {
            Some(len) => len,
            None => self.read_now(offset_bytes, target)?,
        };
        self.next = offset_bytes + len as u64;
        Ok(len)
    }

    fn read_now(&mut self, offset_bytes: u64, target: &mut [u8]) -> io::Result<usize> {
        self.drop_ahead();
        let skip = (offset_bytes % self.alignment as u64) as usize;
        let len = (skip + target.len()).next_multiple_of(self.alignment).min(BOUNCE_LEN_BYTES);
        let mut bounce = self.bounce();
        let got = bounce.read(&self.file, offset_bytes - skip as u64, len);
        let len = got.as_ref().map_or(0, |got| copy(bounce.aligned(*got), skip, target));
        self.spare.push(bounce);
        got.map(|_| len)
    }

    /// Whether a byte was or will be read ahead, and was not returned yet.
    fn is_ahead(&self, offset_bytes: u64) -> bool {
        let covers = |at: u64, len: usize| (at..at + len as u64).contains(&offset_bytes);
        offset_bytes >= self.next
            && (self.current.as_ref().is_some_and(|(at, len, _)| covers(*at, *len))
                || self.in_flight.iter().any(|(at, len, _)| covers(*at, *len)))
    }

    /// Copies bytes that were read ahead, and requests more. `None` if there are none, or the device returned an error.
    fn take(&mut self, offset_bytes: u64, target: &mut [u8]) -> Option<usize> {
        loop {
            if let Some((at, len, bounce)) = &self.current {
                if (*at..*at + *len as u64).contains(&offset_bytes) {
                    let copied = copy(bounce.aligned(*len), (offset_bytes - at) as usize, target);
                    if let Some((at, len, _)) = self.in_flight.back() {
                        self.read_ahead(at + *len as u64);
                    }
                    return Some(copied);
                }
            }
            self.spare.extend(self.current.take().map(|(.., bounce)| bounce));
            let (.., reader) = self.in_flight.pop_front()?;
            let (request, result) = self.readers[reader].answers.recv().ok()?;
            match result {
                Ok(len) => self.current = Some((request.at, len, request.bounce)),
                Err(_) => {
                    self.spare.push(request.bounce);
                    return None;
                }
            }
        }
    }

    /// Fills up the requests in flight, from `at` on.
    fn read_ahead(&mut self, mut at: u64) {
        while self.readers.len() < AHEAD {
            let Ok(reader) = self.file.try_clone().and_then(Reader::new) else { return };
            self.readers.push(reader);
        }
        while self.in_flight.len() < AHEAD && at < self.len_bytes {
            let left = (self.len_bytes - at).next_multiple_of(self.alignment as u64);
            let len = usize::try_from(left).map_or(BOUNCE_LEN_BYTES, |left| left.min(BOUNCE_LEN_BYTES));
            let reader = self.next_reader % AHEAD;
            let request = Request { at, len, bounce: self.bounce() };
            let Some(Ok(())) = self.readers[reader].requests.as_ref().map(|reader| reader.send(request))
            else {
                return;
            };
            self.in_flight.push_back((at, len, reader));
            self.next_reader += 1;
            at += len as u64;
        }
    }

    /// Forgets what was read ahead.
    fn drop_ahead(&mut self) {
        self.spare.extend(self.current.take().map(|(.., bounce)| bounce));
        while let Some((.., reader)) = self.in_flight.pop_front() {
            if let Ok((request, _)) = self.readers[reader].answers.recv() {
                self.spare.push(request.bounce);
            }
        }
    }

    fn bounce(&mut self) -> Bounce {
        self.spare.pop().unwrap_or_else(|| Bounce::new(self.alignment))
    }
}

/// Copies the bytes from `skip` on. Returns how many.
fn copy(bytes: &[u8], skip: usize, target: &mut [u8]) -> usize {
    let fresh = bytes.get(skip..).unwrap_or_default();
    let len = fresh.len().min(target.len());
    target[..len].copy_from_slice(&fresh[..len]);
    len
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(content: &[u8]) -> (tempfile::NamedTempFile, DirectReader) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), content).unwrap();
        // The offsets are computed in the same way without the flag, which not every file system of a test host
        // supports.
        let reader = DirectReader::new(File::open(file.path()).unwrap(), 512, content.len() as u64);
        (file, reader)
    }

    fn content(len: usize) -> Vec<u8> {
        (0..len).map(|index| (index % 251) as u8).collect()
    }

    fn read(reader: &mut DirectReader, offset: usize, len: usize) -> Vec<u8> {
        let mut buffer = vec![0; len];
        let mut done = 0;
        while done < len {
            match reader.read_at((offset + done) as u64, &mut buffer[done..]).unwrap() {
                0 => break,
                got => done += got,
            }
        }
        buffer.truncate(done);
        buffer
    }

    #[test]
    fn reads_of_any_offset_and_length_work() {
        let content = content(3_000_001);
        let (_file, mut reader) = reader(&content);
        for (offset, len) in
            [(0, 10), (4095, 2), (1_048_000, 2_000_000), (2_999_990, 100), (3_000_001, 5), (9, 0)]
        {
            let found = read(&mut reader, offset, len);
            let end = content.len().min(offset + len);
            assert_eq!(found, content[offset.min(end)..end], "{offset} {len}");
        }
        let bounce = reader.bounce();
        assert_eq!(bounce.aligned(0).as_ptr().addr() % 4096, 0);
    }

    #[test]
    fn every_sequence_of_reads_returns_the_bytes_of_the_file() {
        let content = content(9 << 20);
        let (_file, mut reader) = reader(&content);
        // Forwards, with gaps, twice the same, and backwards.
        let mut at: usize = 0;
        let mut state = 7_u32;
        for _ in 0..200 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let len = [70_000, 1 << 20, 300_001, 65_536][(state >> 16) as usize % 4];
            let found = read(&mut reader, at, len);
            assert!(found == content[at..content.len().min(at + len)], "{at} {len}");
            at = match (state >> 24) % 8 {
                0 => at,
                1 => at.saturating_sub(100_000),
                2 => at + len + 200_000,
                _ => at + len,
            } % content.len();
        }
    }

    #[test]
    fn a_byte_that_is_read_again_comes_from_the_device_again() {
        let content = content(8 << 20);
        let (file, mut reader) = reader(&content);
        for mib in 0..4 {
            assert!(read(&mut reader, mib << 20, 1 << 20) == content[mib << 20..(mib + 1) << 20]);
        }
        let other = File::options().write(true).open(file.path()).unwrap();
        other.write_all_at(&[0xee; 4096], 3 << 20).unwrap();
        assert!(read(&mut reader, 3 << 20, 4096) == [0xee; 4096]);
    }

    #[test]
    fn a_sequential_read_requests_each_byte_once() {
        let content = content((6 << 20) + 5000);
        let (_file, mut reader) = reader(&content);
        let mut requests = 0;
        for mib in 0..7 {
            read(&mut reader, mib << 20, 1 << 20);
            requests = requests.max(reader.next_reader);
        }
        // The first read is made at once, and the other six by the readers.
        assert_eq!(requests, 6);
        assert!(reader.in_flight.is_empty());
    }
}
