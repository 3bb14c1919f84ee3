//! Copies of media at many moments of a run, as a power cut at that moment would leave them.
//!
//! A copy is taken when the kernel has written something since the last one, and after a pause. All processes of the run are
//! stopped, and the files behind the loop devices are copied. A copy is valid if the devices were idle all the time, so that
//! it holds the writes in their order. Then the kernel is made to write back more data, each time in another way, and the
//! copy is taken again.

use super::copy::copy;
use super::devices::Medium;
use super::replicator::Board;
use super::stage::Stage;
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, syncfs};
use std::collections::BTreeSet;
use std::fmt;
use std::fs::{self, File};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

/// A copy is taken after this time at the latest.
const PAUSE_MAX: Duration = Duration::from_millis(50);

/// The data that had reached the media before the power cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Survival {
    /// Data that the kernel had written back by itself or on request.
    Synced,
    /// Also the second half of the page cache of the devices: not in the order of the writes.
    Half,
    /// Also the journal of the drive: names whose data may be missing.
    Names,
    /// Everything.
    All,
}

/// A power cut at one moment of a run.
#[derive(Debug, Clone)]
pub(crate) struct Cut {
    /// The data that survived.
    pub(crate) survival: Survival,
    /// Requests that the devices had completed since the start of the run.
    pub(crate) requests: u64,
    /// Copies of the drive and the media, in the board's order.
    pub(crate) files: Vec<PathBuf>,
    /// Fingerprints of the copies.
    pub(crate) fingerprints: Vec<u128>,
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the cut after {} requests, {:?} survived", self.requests, self.survival)
    }
}

/// Runs the board to the end. Returns the distinct cuts, at most `cuts_max`, and the number of all. The last one is after the end
/// of the run. Fails if the run fails.
#[track_caller]
pub(crate) fn record(board: &Board<'_>, stage: &Stage, cuts_max: usize) -> (Vec<Cut>, usize) {
    let devices = devices(board);
    let before = requests(&devices);
    let mut child = board.begin();
    let (mut cuts, mut known, mut count) = (Vec::new(), BTreeSet::new(), 0);
    let (mut seen, mut resumed) = (before, Instant::now());
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        let is_new = requests(&devices) != seen || resumed.elapsed() > PAUSE_MAX;
        if !is_new || cuts.len() >= cuts_max {
            std::thread::sleep(Duration::from_micros(200));
            continue;
        }
        let stopped = Stopped::new(&child);
        let further = [Survival::Half, Survival::Names, Survival::All][count % 3];
        for survival in [Survival::Synced, further] {
            write_back(&child, board, survival);
            let directory = stage.path(&format!("cut-{}", cuts.len()));
            let Some(cut) = copy_all(&devices, &directory, survival, before) else { continue };
            count += 1;
            if known.insert(cut.fingerprints.clone()) {
                cuts.push(cut);
            }
        }
        drop(stopped);
        (seen, resumed) = (requests(&devices), Instant::now());
    };
    let console = fs::read_to_string(board.stage.path("console")).unwrap();
    assert!(status.success(), "{status}: {console}");
    board.assert_nothing_left();
    // A cut right after the end: a success must be durable.
    let end =
        copy_all(&devices, &stage.path("cut-at-the-end"), Survival::Synced, before).expect("idle devices");
    cuts.push(end);
    (cuts, count + 1)
}

/// Runs the board to the end and returns the number of requests of its devices. Fails if the run fails.
#[track_caller]
pub(crate) fn undisturbed(board: &Board<'_>) -> u64 {
    let before = requests(&devices(board));
    board.run().assert_success();
    requests(&devices(board)) - before
}

/// Kills the run when its devices have completed this number of requests. Returns the data that had reached the media; `None` if
/// the run ended before. The kernel writes its dirty pages to the devices afterwards.
pub(crate) fn kill_at(board: &Board<'_>, stage: &Stage, wanted_requests: u64) -> Option<Cut> {
    let devices = devices(board);
    let before = requests(&devices);
    let mut child = board.begin();
    while requests(&devices) - before < wanted_requests {
        if child.try_wait().unwrap().is_some() {
            return None;
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    let stopped = Stopped::new(&child);
    let cut = copy_all(&devices, &stage.path("cut-killed"), Survival::Synced, before);
    stopped.kill();
    child.wait().unwrap();
    board.wait_until_free();
    devices.iter().for_each(|device| device.allow_writes());
    cut
}

fn devices<'a>(board: &Board<'a>) -> Vec<&'a Medium> {
    std::iter::once(board.drive).chain(board.media.iter().map(|(_, medium)| *medium)).collect()
}

/// Writes and flushes that the devices have completed. See Documentation/admin-guide/iostats.rst of the kernel.
fn requests(devices: &[&Medium]) -> u64 {
    devices.iter().map(|device| statistics(device)).map(|fields| fields[4] + fields[11] + fields[15]).sum()
}

fn are_idle(devices: &[&Medium]) -> bool {
    devices.iter().all(|device| statistics(device)[8] == 0)
}

fn statistics(device: &Medium) -> Vec<u64> {
    let name = device.device.file_name().unwrap();
    let text = fs::read_to_string(Path::new("/sys/class/block").join(name).join("stat")).unwrap();
    let fields: Vec<u64> = text.split_whitespace().map(|field| field.parse().unwrap()).collect();
    assert!(fields.len() >= 17, "this kernel does not count flushes: {text}");
    fields
}

/// Copies the files behind the devices; `None` if the devices are not idle long enough.
fn copy_all(devices: &[&Medium], directory: &Path, survival: Survival, requests_before: u64) -> Option<Cut> {
    fs::create_dir_all(directory).unwrap();
    let files: Vec<PathBuf> = (0..devices.len()).map(|number| directory.join(number.to_string())).collect();
    for _ in 0..20 {
        let before = requests(devices);
        if are_idle(devices) {
            let fingerprints =
                devices.iter().zip(&files).map(|(device, file)| copy(&device.file, file)).collect();
            if are_idle(devices) && requests(devices) == before {
                return Some(Cut { survival, requests: before - requests_before, files, fingerprints });
            }
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    None
}

/// Makes the kernel write back the data that is to survive.
fn write_back(child: &Child, board: &Board<'_>, survival: Survival) {
    let root = mount_point(child, &board.drive.number()).map(|root| File::open(root).unwrap());
    match survival {
        Survival::Synced => {}
        Survival::Half => devices(board).iter().for_each(|device| write_back_half(device)),
        // Syncing a directory commits the journal. Data with delayed allocation stays in memory.
        Survival::Names => root.iter().for_each(|root| root.sync_all().unwrap()),
        Survival::All => {
            root.iter().for_each(|root| syncfs(root.as_fd()).unwrap());
            devices(board).iter().for_each(|device| device.flush());
        }
    }
}

/// Dirty pages are written before they are dropped, see posix_fadvise(2).
fn write_back_half(device: &Medium) {
    let half = i64::try_from(fs::metadata(&device.file).unwrap().len() / 2).unwrap();
    let opened = File::open(&device.device).unwrap();
    posix_fadvise(&opened, half, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED).unwrap();
}

/// The mount point of the device with this number in the mount namespace of the run, as a path of this process.
fn mount_point(child: &Child, number: &str) -> Option<PathBuf> {
    let process = PathBuf::from(format!("/proc/{}", child.id()));
    let mounts = fs::read_to_string(process.join("mountinfo")).unwrap();
    let line = mounts.lines().find(|line| line.split(' ').nth(2) == Some(number))?;
    let point = line.split(' ').nth(4)?.trim_start_matches('/').to_owned();
    Some(process.join("root").join(point))
}

/// A run and its helpers, stopped until dropped.
struct Stopped(BTreeSet<i32>);

impl Stopped {
    fn new(child: &Child) -> Self {
        let first = i32::try_from(child.id()).unwrap();
        let mut pids = BTreeSet::from([first]);
        signal(first, Signal::SIGSTOP);
        // Stopped processes start no others, so this ends.
        loop {
            let children: Vec<i32> = processes()
                .filter(|(pid, parent)| pids.contains(parent) && !pids.contains(pid))
                .map(|(pid, _)| pid)
                .collect();
            if children.is_empty() {
                break;
            }
            children.iter().for_each(|pid| signal(*pid, Signal::SIGSTOP));
            pids.extend(children);
        }
        let stopped = Self(pids);
        stopped.wait();
        stopped
    }

    /// Waits until no thread runs; a thread in a system call stops when the call returns.
    fn wait(&self) {
        let started = Instant::now();
        while self.0.iter().any(|pid| is_running(*pid)) && started.elapsed() < Duration::from_millis(100) {
            std::thread::yield_now();
        }
    }

    fn kill(self) {
        self.0.iter().for_each(|pid| signal(*pid, Signal::SIGKILL));
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        self.0.iter().for_each(|pid| signal(*pid, Signal::SIGCONT));
    }
}

/// Sends a signal; a process that has ended is ignored.
fn signal(pid: i32, signal: Signal) {
    match kill(Pid::from_raw(pid), signal) {
        Ok(()) | Err(nix::errno::Errno::ESRCH) => {}
        Err(error) => panic!("{signal} to {pid}: {error}"),
    }
}

/// State and parent in a `stat` file of proc(5).
fn state_and_parent(path: &Path) -> Option<(char, i32)> {
    let text = fs::read_to_string(path).ok()?;
    let (_, rest) = text.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

/// All processes with their parents.
fn processes() -> impl Iterator<Item = (i32, i32)> {
    fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let pid = entry.ok()?.file_name().to_str()?.parse().ok()?;
        let (_, parent) = state_and_parent(&PathBuf::from(format!("/proc/{pid}/stat")))?;
        Some((pid, parent))
    })
}

fn is_running(pid: i32) -> bool {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return false };
    threads
        .filter_map(|thread| state_and_parent(&thread.ok()?.path().join("stat")))
        .any(|(state, _)| matches!(state, 'R' | 'S'))
}
